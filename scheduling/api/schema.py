"""OpenAPI for our views: what the base view adds to every operation is in its description too."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from scheduling.api.idempotency import HEADER
from scheduling.api.problems import CONTENT_TYPE

_ALWAYS = ("400", "401", "403", "406", "429", "503")
_WITH_BODY = ("409", "413", "415", "422")
_WITH_ID = ("404",)


class ProblemItem(serializers.Serializer[Any]):
    """One thing that is wrong with what was sent."""

    pointer = serializers.CharField(allow_blank=True, help_text="JSON pointer into the body; the parameter's name.")
    code = serializers.CharField()
    detail = serializers.CharField()
    hint = serializers.CharField(required=False)


class ProblemShape(serializers.Serializer[Any]):
    """A problem document (RFC 9457): the form of every error."""

    type = serializers.CharField(help_text="urn:ordinaut:problem:<code>")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField(help_text="Stable, for programs.")
    instance = serializers.CharField(required=False)
    request_id = serializers.CharField(required=False)
    hint = serializers.CharField(required=False, help_text="What to do instead.")
    errors = ProblemItem(many=True, required=False, help_text="All at once.")  # type: ignore[assignment]
    allowed_actions = serializers.ListField(child=serializers.CharField(), required=False)


class OperationSchema(AutoSchema):
    """Adds scopes, parameters, headers and problem responses from what the view declares."""

    def get_extensions(self) -> dict[str, Any]:
        access = getattr(self.view, "access", {}).get(self.method.lower())
        scopes = [access.scope] if access is not None and access.scope else []
        return {**super().get_extensions(), "x-required-scopes": scopes}

    def get_override_parameters(self) -> list[Any]:
        method = self.method.lower()
        declared: list[Any] = list(super().get_override_parameters())
        kind = getattr(self.view, "parameters", {}).get(method)
        if kind is not None:
            declared.append(kind)
        handler = getattr(self.view, method, None)
        if getattr(handler, "is_idempotent", False):
            declared.append(
                OpenApiParameter(
                    HEADER, str, OpenApiParameter.HEADER, description="Send it again with the same key: one effect."
                )
            )
        if method in getattr(self.view, "conditional_methods", ()):
            declared.append(
                OpenApiParameter(
                    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that the change is made to."
                )
            )
        return declared

    def map_renderers(self, attribute: str) -> list[str]:
        return ["application/json"]

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        return super().get_serializer_name(serializer, direction).removesuffix("Shape")  # type: ignore[no-any-return]

    def get_tags(self) -> list[str]:
        return [self.view.tag] if hasattr(self.view, "tag") else super().get_tags()

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        reference = self.resolve_serializer(ProblemShape, "response").ref
        for status in self._problem_statuses(operation):
            operation["responses"].setdefault(
                status, {"description": _WORDS[status], "content": {CONTENT_TYPE: {"schema": reference}}}
            )
        operation["responses"] = dict(sorted(operation["responses"].items()))
        return operation

    def _problem_statuses(self, operation: dict[str, Any]) -> list[str]:
        statuses = [*_ALWAYS]
        if "requestBody" in operation or self.method in ("POST", "PUT", "PATCH", "DELETE"):
            statuses += _WITH_BODY
        if "{" in self.path:
            statuses += _WITH_ID
        if self.method.lower() in getattr(self.view, "conditional_methods", ()):
            statuses.append("412")
        return statuses


_WORDS = {
    "400": "Malformed: no JSON, or a parameter that is not known.",
    "401": "No token, or one that is not valid.",
    "403": "The token lacks a scope.",
    "404": "No such object, or another agent's.",
    "406": "The answer cannot be given in the form that was asked for.",
    "409": "It does not go with the present state; `allowed_actions` says what does.",
    "412": "It was changed since it was read.",
    "413": "The body is too large.",
    "415": "The body is not application/json.",
    "422": "Not valid: `errors` has every problem with its place.",
    "429": "Too many requests; Retry-After says when.",
    "503": "The database does not answer; Retry-After says when to try again.",
}


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "scheduling.api.authentication.BearerAuthentication"
    name = "agentToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "An agent's token, `ord_…`."}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "scheduling.api.authentication.OperatorSession"
    name = "operatorSession"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "The console's session."}
