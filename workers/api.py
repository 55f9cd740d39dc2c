"""The addresses of workers, of queues, and of the steps of a run."""

from dataclasses import asdict
from uuid import UUID

from django.http import Http404
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines.engine.ports import StepState
from scheduling.api.access import READ_RUNS, READ_WORKERS
from scheduling.api.finding import find
from scheduling.api.parameters import PAGE_LIMIT
from scheduling.api.shapes import Shape
from scheduling.api.views import View
from scheduling.definitions.fields import Instant
from scheduling.definitions.strict import StrictSerializer
from scheduling.runs.selectors import visible_runs
from workers.bloat import read_bloat
from workers.models import Retention, StepRun, Worker, WorkerState
from workers.queues import queue_depths
from workers.selectors import result_of


class StepShape(Shape):
    """One attempt of one step."""

    path = serializers.CharField(help_text="The ids of the loops around the step, with their indices, then its own.")
    kind = serializers.CharField()
    uses = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=[str(state) for state in StepState])
    attempt = serializers.IntegerField()
    run_attempt = serializers.IntegerField()
    input = serializers.JSONField(allow_null=True)
    output = serializers.JSONField(
        allow_null=True, help_text="Null where it is over 32 KB; GET /runs/{id}/artifacts/{artifact} has it."
    )
    artifact = serializers.SerializerMethodField(help_text="SHA-256 of a result that is kept apart.")
    error = serializers.JSONField(allow_null=True)
    simulated = serializers.BooleanField(source="is_simulated")
    tolerated = serializers.BooleanField(source="is_tolerated")
    started_at = Instant(allow_null=True)
    finished_at = Instant(allow_null=True)

    def get_uses(self, step: StepRun) -> str | None:
        return step.uses or None

    def get_artifact(self, step: StepRun) -> str | None:
        return step.output_artifact or None


class StepPage(Shape):
    """Steps in the order in which they were recorded."""

    items = StepShape(many=True)
    next = serializers.URLField(allow_null=True)
    prev = serializers.URLField(allow_null=True)


class StepParameters(StrictSerializer):
    """A page of steps, oldest first."""

    limit = serializers.IntegerField(required=False, default=PAGE_LIMIT, min_value=1, max_value=PAGE_LIMIT)
    cursor = serializers.RegexField(r"^\d{1,18}\Z", required=False, help_text="From `next` of another page.")


class WorkerParameters(StrictSerializer):
    """Which workers."""

    state = serializers.ChoiceField(choices=WorkerState.values, required=False, help_text="By default those that live.")


class WorkerShape(Shape):
    """One worker process."""

    id = serializers.UUIDField(source="boot_id")
    host = serializers.CharField()
    pid = serializers.IntegerField()
    release = serializers.CharField()
    state = serializers.ChoiceField(choices=WorkerState.values)
    queues = serializers.ListField(child=serializers.CharField())
    slots = serializers.IntegerField()
    running = serializers.IntegerField(source="running_count")
    beat_at = Instant()
    started_at = Instant()
    stopped_at = Instant(allow_null=True)
    stop_reason = serializers.CharField(
        allow_blank=True, help_text="Why its supervisor replaced it: after so many runs, or above so much memory."
    )


class WorkerPage(Shape):
    """Worker processes, newest first."""

    items = WorkerShape(many=True)
    next = serializers.URLField(allow_null=True)
    prev = serializers.URLField(allow_null=True)


class QueueShape(Shape):
    """What waits in a queue."""

    queue = serializers.CharField()
    due = serializers.IntegerField(help_text="May be claimed now.")
    sleeping = serializers.IntegerField(help_text="Later: retries, waits and runs that are not due.")
    gated = serializers.IntegerField(help_text="Not yet: paused, behind another run, or behind a full key.")
    running = serializers.IntegerField()
    oldest_due_seconds = serializers.FloatField(allow_null=True)


class QueuePage(Shape):
    """Every queue that holds something."""

    items = QueueShape(many=True)
    next = serializers.URLField(allow_null=True)
    prev = serializers.URLField(allow_null=True)


class RunSteps(View):
    tag = "runs"
    access = {"get": READ_RUNS}
    parameters = {"get": StepParameters}

    @extend_schema(operation_id="listSteps", responses=StepPage)
    def get(self, request: Request, run_id: UUID) -> Response:
        """List the steps of a run, one item an attempt, oldest first."""
        run = find(request, visible_runs, run_id)
        limit: int = self.given["limit"]
        steps = StepRun.objects.filter(run_id=run.pk)
        if "cursor" in self.given:
            steps = steps.filter(pk__gt=int(self.given["cursor"]))
        found = list(steps.order_by("pk")[: limit + 1])
        following = _next_link(request, found[limit - 1].pk) if len(found) > limit else None
        return Response({"items": StepShape(found[:limit], many=True).data, "next": following, "prev": None})


class RunArtifact(View):
    tag = "runs"
    access = {"get": READ_RUNS}

    @extend_schema(operation_id="getArtifact", responses=OpenApiTypes.ANY)
    def get(self, request: Request, run_id: UUID, digest: str) -> Response:
        """Get a large result of a step of this run, whole, by the digest that the step names as its `artifact`."""
        run = find(request, visible_runs, run_id)
        step = StepRun.objects.filter(run_id=run.pk, output_artifact=digest).first()
        if step is None:
            raise Http404
        return Response(result_of(step))


class WorkerList(View):
    tag = "workers"
    access = {"get": READ_WORKERS}
    parameters = {"get": WorkerParameters}

    @extend_schema(operation_id="listWorkers", responses=WorkerPage)
    def get(self, request: Request) -> Response:
        """List worker processes: those that live, or the last two hundred of a state."""
        workers = Worker.objects.filter(state=self.given["state"]) if "state" in self.given else Worker.objects.live()
        found = workers.order_by("-started_at", "pk")[:PAGE_LIMIT]
        return Response({"items": WorkerShape(found, many=True).data, "next": None, "prev": None})


class QueueList(View):
    tag = "workers"
    access = {"get": READ_WORKERS}

    @extend_schema(operation_id="listQueues", responses=QueuePage)
    def get(self, request: Request) -> Response:
        """List the queues that hold something, with the age of the oldest row that may be claimed."""
        return Response({"items": [asdict(depth) for depth in queue_depths()], "next": None, "prev": None})


class TableShape(Shape):
    """A hot table, as the server counts its rows."""

    name = serializers.CharField()
    live = serializers.IntegerField()
    dead = serializers.IntegerField()
    is_bloated = serializers.BooleanField()


class SnapshotShape(Shape):
    """Who holds the oldest snapshot, and so keeps VACUUM from dead rows."""

    kind = serializers.CharField(help_text="transaction, prepared transaction or replication slot")
    name = serializers.CharField()
    application = serializers.CharField(allow_blank=True)
    seconds = serializers.FloatField(allow_null=True)
    state = serializers.CharField(allow_blank=True)
    query = serializers.CharField(allow_blank=True, help_text="Its beginning.")


class RetentionShape(Shape):
    """The last turn of retention over one kind of rows."""

    kind = serializers.CharField()
    turn_at = Instant()
    turn_host = serializers.CharField()
    turn_deleted = serializers.IntegerField()
    turn_seconds = serializers.FloatField()
    deleted = serializers.IntegerField(source="deleted_count", help_text="In all its turns.")


class SystemShape(Shape):
    """How the database bears the work."""

    tables = TableShape(many=True)
    oldest_snapshot = SnapshotShape(allow_null=True)
    warning = serializers.CharField(allow_blank=True)
    retention = RetentionShape(many=True)


class System(View):
    tag = "workers"
    access = {"get": READ_WORKERS}

    @extend_schema(operation_id="getSystem", responses=SystemShape)
    def get(self, request: Request) -> Response:
        """Dead rows of the hot tables, who keeps them from being removed, and the last turns of retention."""
        turns = RetentionShape(Retention.objects.order_by("kind"), many=True).data
        return Response({**read_bloat().as_dict(), "retention": turns})


def _next_link(request: Request, last: int) -> str:
    query = request.query_params.copy()
    query["cursor"] = str(last)
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


urlpatterns = [
    path("runs/<uuid:run_id>/steps", RunSteps.as_view(), name="run-steps"),
    path("runs/<uuid:run_id>/artifacts/<slug:digest>", RunArtifact.as_view(), name="run-artifact"),
    path("workers", WorkerList.as_view(), name="workers"),
    path("system", System.as_view(), name="system"),
    path("queues", QueueList.as_view(), name="queues"),
]
