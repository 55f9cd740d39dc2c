"""The base of every view."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from scheduling.api.access import Access, ScopePermission
from scheduling.api.authentication import BearerAuthentication, OperatorSession
from scheduling.api.bodies import JSONRenderer, ProblemRenderer, StrictJSONParser
from scheduling.api.limits import META_KEY, AgentRate, RateDecision
from scheduling.api.parameters import NoParameters, read_parameters
from scheduling.definitions.strict import StrictSerializer
from scheduling.errors import NotValid


class View(APIView):
    """A view names its `access` for each method, and the `parameters` that each method takes in the address.

    What was given for those is in `self.given`, validated. A parameter that is not named is refused.
    """

    authentication_classes: Sequence[type[BaseAuthentication]] = (BearerAuthentication, OperatorSession)
    permission_classes: Sequence[type[BasePermission]] = (ScopePermission,)
    throttle_classes: Sequence[type[BaseThrottle]] = (AgentRate,)
    parser_classes = (StrictJSONParser,)
    renderer_classes = (JSONRenderer, ProblemRenderer)
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    access: ClassVar[Mapping[str, Access]] = {}
    parameters: ClassVar[Mapping[str, type[StrictSerializer]]] = {}

    given: dict[str, Any]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = (request.method or "").lower().replace("head", "get")
        self.given = read_parameters(self.parameters.get(method, NoParameters), request.query_params)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        decision: RateDecision | None = request.META.get(META_KEY)
        if decision is not None:
            for name, value in decision.headers().items():
                final[name] = value
        final["Cache-Control"] = "no-store"
        return final


def body_of(request: Request) -> dict[str, Any]:
    """The body as an object; NotValid for any other JSON."""
    if not isinstance(request.data, dict):
        raise NotValid.at("", "not_an_object", "The body must be a JSON object.")
    return request.data


def entity_tag(value: object) -> str:
    return f'"{value}"'


def matched_tag(request: Request) -> str | None:
    """What `If-Match` asks for, unquoted; None where it is absent or `*`. One tag only: a list is refused."""
    header = request.headers.get("If-Match", "").strip()
    if header in ("", "*"):
        return None
    tag = header.removeprefix("W/")
    if len(tag) < 2 or not tag.startswith('"') or not tag.endswith('"') or '"' in tag[1:-1]:
        raise NotValid("If-Match must be one ETag, as an answer gave it.", hint='For example: If-Match: "3"')
    return tag[1:-1]


def created(data: Any, *, location: str, tag: str | None = None) -> Response:
    headers = {"Location": location}
    if tag is not None:
        headers["ETag"] = tag
    return Response(data, status=201, headers=headers)
