"""The API's description for machines and people: the schema, Swagger, and a page for assistants."""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.agents.scopes import SCOPES
from scheduling.api.views import View


class SchemaView(View):
    """OpenAPI 3 of every address, as JSON; open to all, as the source of this project is."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(openapi_document())


class DocsView(SpectacularSwaggerSplitView):
    """Swagger from our own host, its script apart from the page: nothing inline, nothing from elsewhere."""

    authentication_classes = ()
    permission_classes = ()
    url_name = "schema"
    template_name = "api/swagger.html"


@cache
def openapi_document() -> dict[str, Any]:
    """The description of this release. Made once a process: it depends on the code alone."""
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return document


@require_safe
def llms_txt(request: HttpRequest) -> HttpResponse:
    """A short guide for assistants (llmstxt.org)."""
    base = request.build_absolute_uri("/").rstrip("/")
    given = {"base": base, "scopes": SCOPES.items()}
    return render(request, "api/llms.txt", given, content_type="text/plain; charset=utf-8")
