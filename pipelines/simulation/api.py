"""The addresses of simulations: a document, or a task's, in virtual time; nothing is sent and nothing stored."""

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines.shapes import AnyDocument, DocumentProblem
from pipelines.simulation.child import simulate_in_child
from pipelines.simulation.of_task import simulate_task
from scheduling.api.access import READ_TASKS
from scheduling.api.finding import find
from scheduling.api.shapes import Shape
from scheduling.api.views import View, body_of
from scheduling.definitions.durations import duration_text
from scheduling.definitions.fields import Duration, Instant, JSONObject, Truth
from scheduling.definitions.strict import StrictSerializer, parse
from scheduling.tasks.selectors import visible_tasks


class Circumstances(StrictSerializer):
    """What a simulated run is given: params, the event that starts it, when it is canceled, its instant."""

    params = JSONObject(required=False, default=dict, help_text="Laid over the document's, or the task's.")
    event = JSONObject(required=False, allow_null=True, default=None, help_text="The event that starts the run.")
    cancel_at = Duration(required=False, allow_null=True, default=None, help_text="Cancel the run then.")
    now = Instant(required=False, allow_null=True, default=None, help_text="The run's instant; the present without.")
    expressions = Truth(required=False, default=False, help_text="Also show what was evaluated.")


class DocumentToSimulate(Circumstances):
    """A pipeline document, as an object or as YAML or JSON text, and its circumstances."""

    document = AnyDocument()


class AssertShape(Shape):
    """One of the document's `assert`, and whether it holds."""

    expression = serializers.CharField()
    ok = serializers.BooleanField()
    detail = serializers.CharField(required=False, help_text="Why it cannot be evaluated.")


class SimulationShape(Shape):
    """How the run ended, and every step; of an invalid document `state` and `problems` alone."""

    state = serializers.ChoiceField(choices=["succeeded", "failed", "canceled", "invalid"])
    outputs = serializers.JSONField(required=False)
    error = serializers.JSONField(required=False, allow_null=True)
    steps = serializers.ListField(
        child=serializers.JSONField(),
        required=False,
        help_text="One an attempt, in the order in which they ended; `at` is the virtual time since the start.",
    )
    asserts = AssertShape(many=True, required=False)
    expressions = serializers.ListField(
        child=serializers.JSONField(), required=False, help_text="What was evaluated for no step, where asked for."
    )
    problems = DocumentProblem(many=True, required=False)


class SimulateView(View):
    tag = "pipelines"
    access = {"post": READ_TASKS}

    @extend_schema(
        operation_id="simulatePipeline",
        request=DocumentToSimulate,
        responses=SimulationShape,
        examples=[
            OpenApiExample(
                "An assert",
                {
                    "document": {
                        "version": 1,
                        "steps": [{"id": "n", "set": {"two": "${params.one + `1`}"}}],
                        "assert": ["steps.n.two == 2"],
                    },
                    "params": {"one": 1},
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Run a document in virtual time with simulated tools. Nothing is sent or stored."""
        given = parse(DocumentToSimulate, body_of(request))
        return Response(simulate_in_child(given["document"], **_circumstances(given)))


class SimulateTaskView(View):
    tag = "tasks"
    access = {"post": READ_TASKS}

    @extend_schema(operation_id="simulateTask", request=Circumstances, responses=SimulationShape)
    def post(self, request: Request, task_id: UUID) -> Response:
        """Run the task's pipeline in virtual time with simulated tools, here and now. Nothing is sent or stored."""
        given = parse(Circumstances, body_of(request))
        return Response(simulate_task(find(request, visible_tasks, task_id), **_circumstances(given)))


def _circumstances(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a line of `simulate --jsonl`, as JSON values."""
    cancel_at, now = given["cancel_at"], given["now"]
    return {
        "params": given["params"],
        "event": given["event"],
        "cancel_at": None if cancel_at is None else duration_text(cancel_at),
        "now": None if now is None else now.isoformat(),
        "expressions": given["expressions"],
    }


urlpatterns = [
    path("pipelines/simulate", SimulateView.as_view(), name="pipeline-simulate"),
    path("tasks/<uuid:task_id>/simulate", SimulateTaskView.as_view(), name="task-simulate"),
]
