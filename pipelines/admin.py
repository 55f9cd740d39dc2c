"""Tool servers, and the catalog of this host's tools. Secrets stand in `pipelines.secrets.admin`."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from pipelines.models import ToolServer
from pipelines.secrets import admin as secrets_admin  # noqa: F401 - registers its page
from pipelines.tools.registry import catalog
from scheduling.console.listing import ReadOnlyAdmin, exact_time


@admin.register(ToolServer)
class ToolServerAdmin(ReadOnlyAdmin):
    list_display = ("name", "url", "is_enabled", "created")
    list_filter = ("is_enabled",)
    search_fields = ("name",)
    ordering = ("name",)
    created = exact_time("created_at", "created")

    def get_urls(self) -> list[URLPattern]:
        shown = self.admin_site.admin_view(self.catalog_view)
        return [path("catalog/", shown, name="tool_catalog"), *super().get_urls()]

    def catalog_view(self, request: HttpRequest) -> HttpResponse:
        """The tools that pipelines may use on the host that answers."""
        if not request.user.has_perm("scheduling.view_task"):
            raise PermissionDenied
        found = catalog()
        specs: list[Any] = [spec for name in found.names() if (spec := found.get(name)) is not None]
        context = {
            **self.admin_site.each_context(request),
            "title": "Tools",
            "specs": specs,
            "problems": found.problems,
        }
        return TemplateResponse(request, "console/tools.html", context)
