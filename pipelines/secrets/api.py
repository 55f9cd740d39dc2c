"""The addresses of secrets: values go in, names and limits come out."""

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines.models import Secret
from pipelines.secrets import operations
from pipelines.secrets.definition import SecretDefinition
from pipelines.secrets.selectors import visible_secrets
from scheduling.agents.models import Agent
from scheduling.api.access import READ_SECRETS, WRITE_SECRETS
from scheduling.api.finding import caller_of, seen
from scheduling.api.idempotency import idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters
from scheduling.api.principal import actor_of
from scheduling.api.shapes import Shape, page_shape
from scheduling.api.views import View, body_of, created
from scheduling.definitions.fields import Instant
from scheduling.errors import Forbidden


class SecretShape(Shape):
    """A secret without its value, which nobody reads back."""

    name = serializers.CharField()
    agent = serializers.CharField(source="agent.name")
    tools = serializers.ListField(child=serializers.CharField(), help_text="The tools that may be given it.")
    hosts = serializers.ListField(child=serializers.CharField(), help_text="Where alone it may be sent; empty: any.")
    created_at = Instant()
    updated_at = Instant()


class SecretList(View):
    tag = "secrets"
    access = {"get": READ_SECRETS}
    parameters = {"get": PageParameters}

    @extend_schema(operation_id="listSecrets", responses=page_shape(SecretShape))
    def get(self, request: Request) -> Response:
        """List the secrets that pipelines may name, without their values."""
        secrets = seen(request, visible_secrets)
        return Response(page_of(request, secrets, self.given, lambda rows: list(SecretShape(rows, many=True).data)))


class SecretView(View):
    tag = "secrets"
    access = {"get": READ_SECRETS, "put": WRITE_SECRETS, "delete": WRITE_SECRETS}

    @extend_schema(operation_id="getSecret", responses=SecretShape)
    def get(self, request: Request, name: str) -> Response:
        """Show what a secret is for, and when it was set."""
        return Response(SecretShape(_own(request, name)).data)

    @extend_schema(
        operation_id="setSecret",
        request=SecretDefinition,
        responses={200: SecretShape, 201: SecretShape},
        examples=[
            OpenApiExample(
                "A key of one service",
                {"value": "wk_live_3f9a1c7e", "tools": ["http.request"], "hosts": ["api.weather.example"]},
                request_only=True,
            )
        ],
    )
    @idempotent
    def put(self, request: Request, name: str) -> Response:
        """Set a secret, which steps name as `secrets.<name>` in the `with` of a tool. What is left out stays."""
        secret, is_new = operations.set_secret(
            actor=actor_of(request), agent=_agent(request), name=name, given=body_of(request)
        )
        answer = SecretShape(secret).data
        return created(answer, location=f"/api/v1/secrets/{name}") if is_new else Response(answer)

    @extend_schema(operation_id="deleteSecret", request=None, responses={204: None})
    @idempotent
    def delete(self, request: Request, name: str) -> Response:
        """Remove a secret. Steps that name it fail from their next call on."""
        operations.delete_secret(actor=actor_of(request), secret=_own(request, name))
        return Response(status=204)


def _agent(request: Request) -> Agent:
    agent = caller_of(request).agent
    if agent is None:
        raise Forbidden(
            "A secret belongs to an agent.", hint="Set it with an agent's token, or in the console for an agent."
        )
    return agent


def _own(request: Request, name: str) -> Secret:
    """The caller's own: names are unique for an agent, so that no other agent's is meant by one."""
    if "\0" in name:  # which PostgreSQL cannot even be asked for
        raise Secret.DoesNotExist
    return visible_secrets(_agent(request)).get(name=name)


urlpatterns = [
    path("secrets", SecretList.as_view(), name="secrets"),
    path("secrets/<str:name>", SecretView.as_view(), name="secret"),
]
