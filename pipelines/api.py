"""The addresses of tools and of the pipeline language."""

from typing import Any

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines.document import document_schema
from pipelines.port import PipelinePort
from pipelines.secrets import api as secrets_api
from pipelines.servers.offers import current_catalog
from pipelines.shapes import AnyDocument, DocumentProblem
from pipelines.simulation import api as simulation_api
from pipelines.tools.base import InDoubt, SideEffect, ToolSpec
from scheduling.api.access import READ_TASKS, READ_TOOLS
from scheduling.api.finding import caller_of
from scheduling.api.shapes import Shape
from scheduling.api.views import View, body_of
from scheduling.definitions.durations import duration_text
from scheduling.definitions.strict import StrictSerializer, did_you_mean, parse


class ToolShape(Shape):
    """A tool of the catalog: what `uses` may name."""

    name = serializers.CharField()
    description = serializers.CharField()
    version = serializers.CharField()
    input_schema = serializers.JSONField(help_text="JSON Schema 2020-12 of `with`.")
    output_schema = serializers.JSONField(help_text="JSON Schema 2020-12 of the result.")
    side_effect = serializers.ChoiceField(choices=[str(each) for each in SideEffect])
    in_doubt = serializers.ChoiceField(choices=[str(each) for each in InDoubt])
    timeout = serializers.CharField(help_text="ISO 8601 duration of one attempt, where the step says nothing.")
    retry = serializers.JSONField(allow_null=True)
    secrets = serializers.ListField(child=serializers.CharField())
    examples = serializers.ListField(child=serializers.JSONField())
    is_installed = serializers.BooleanField(help_text="False: declared only, its results are simulated.")


class ToolPage(Shape):
    """Every tool of this host."""

    items = ToolShape(many=True)
    next = serializers.CharField(allow_null=True)
    prev = serializers.CharField(allow_null=True)


class VerdictShape(Shape):
    """Whether a document could be stored, and everything that is wrong with it."""

    valid = serializers.BooleanField()
    problems = DocumentProblem(many=True)


class DocumentToJudge(StrictSerializer):
    """A pipeline document, as an object or as YAML or JSON text."""

    unkept = frozenset({"document"})
    document = AnyDocument()


class ToolList(View):
    tag = "tools"
    access = {"get": READ_TOOLS}

    @extend_schema(operation_id="listTools", responses=ToolPage)
    def get(self, request: Request) -> Response:
        """List the tools that pipelines may use, by name."""
        tools = current_catalog()
        items = [tool_document(spec) for name in tools.names() if (spec := tools.get(name)) is not None]
        return Response({"items": items, "next": None, "prev": None})


class ToolView(View):
    tag = "tools"
    access = {"get": READ_TOOLS}

    @extend_schema(operation_id="getTool", responses=ToolShape)
    def get(self, request: Request, name: str) -> Response:
        """Show a tool with its schemas and examples."""
        spec = current_catalog().get(name)
        if spec is None:
            raise NotFound(_absence(name))
        return Response(tool_document(spec))


class ValidateView(View):
    tag = "pipelines"
    access = {"post": READ_TASKS}

    @extend_schema(
        operation_id="validatePipeline",
        request=DocumentToJudge,
        responses=VerdictShape,
        examples=[
            OpenApiExample(
                "One step",
                {"document": {"version": 1, "steps": [{"uses": "log.write", "with": {"message": "hello"}}]}},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Judge a document without storing it: problems with pointers into it, warnings included."""
        document = parse(DocumentToJudge, body_of(request))["document"]
        agent = caller_of(request).agent
        problems = judge(document, agent_id=None if agent is None else str(agent.pk))
        valid = all(problem["severity"] != "error" for problem in problems)
        return Response({"valid": valid, "problems": problems})


class SchemaView(View):
    tag = "pipelines"
    access = {"get": READ_TOOLS}

    @extend_schema(operation_id="getPipelineSchema", responses={200: {"type": "object", "additionalProperties": True}})
    def get(self, request: Request) -> Response:
        """The JSON Schema of pipeline documents."""
        return Response(document_schema())


def _absence(name: str) -> str:
    known = current_catalog()
    why = known.why_missing(name)
    return f"{why[0].upper()}{why[1:]}." if why else did_you_mean(name, known.names()) or "There is no such tool."


def judge(document: Any, *, agent_id: str | None) -> list[dict[str, Any]]:
    """Everything that is wrong with a document or its text, as the answer shows it."""
    port = PipelinePort()
    if isinstance(document, str):
        try:
            document = port.parse(document)
        except ValueError as error:
            found = getattr(error, "problems", ())
            return [problem.as_dict() for problem in found] or [_unreadable(error)]
    return port.validate(document, agent_id=agent_id)


def tool_document(spec: ToolSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "description": spec.description,
        "version": spec.version,
        "input_schema": dict(spec.input_schema),
        "output_schema": dict(spec.output_schema),
        "side_effect": str(spec.side_effect),
        "in_doubt": str(spec.in_doubt),
        "timeout": duration_text(spec.timeout),
        "retry": None if spec.retry is None else dict(spec.retry),
        "secrets": sorted(spec.secrets),
        "examples": [dict(example) for example in spec.examples],
        "is_installed": spec.is_installed,
    }


def _unreadable(error: ValueError) -> dict[str, Any]:
    return {"pointer": "", "code": "unreadable", "detail": str(error), "hint": None, "severity": "error"}


urlpatterns = [
    *secrets_api.urlpatterns,
    *simulation_api.urlpatterns,
    path("tools", ToolList.as_view(), name="tools"),
    path("tools/<path:name>", ToolView.as_view(), name="tool"),
    path("pipelines/validate", ValidateView.as_view(), name="pipeline-validate"),
    path("pipelines/schema", SchemaView.as_view(), name="pipeline-schema"),
]
