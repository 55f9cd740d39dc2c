"""The addresses of workers and of the steps of a run."""

from typing import Any
from uuid import UUID

from django.http import Http404
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines.document import DocumentInvalid
from pipelines.engine.ports import StepState
from scheduling.api.access import OPERATE_RUNS, OPERATE_WORKERS, READ_RUNS, READ_WORKERS
from scheduling.api.finding import caller_of, find, find_to_change, seen
from scheduling.api.idempotency import idempotent
from scheduling.api.parameters import PAGE_LIMIT, WholeNumber
from scheduling.api.principal import actor_of
from scheduling.api.shapes import Shape
from scheduling.api.views import View, body_of
from scheduling.definitions.fields import Instant, Text, Truth
from scheduling.definitions.strict import StrictSerializer, parse
from scheduling.errors import Conflict
from scheduling.instants import database_now
from scheduling.runs.selectors import visible_runs
from scheduling.runs.shapes import RunShape
from scheduling.runs.states import RunState
from workers.bloat import read_bloat
from workers.explain import explain
from workers.models import Retention, StepRun, Worker, WorkerState
from workers.operations import drain_worker
from workers.recordings import record_run
from workers.replays import replay_run
from workers.selectors import current_runs, result_of, worker_actions


class StepShape(Shape):
    """One attempt of one step."""

    path = serializers.CharField(
        source="shown_path", help_text="The ids of the loops around the step, with their indices, then its own."
    )
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


class ReasonShape(Shape):
    """One reason. Codes are stable and listed in the reference; sentences are not."""

    code = serializers.CharField()
    sentence = serializers.CharField()
    hint = serializers.CharField(allow_blank=True)
    facts = serializers.DictField(help_text="JSON values that go with the code.")


class ExplanationShape(Shape):
    """Where a run stands."""

    run = serializers.UUIDField(source="run_id")
    state = serializers.ChoiceField(choices=RunState.values)
    at = Instant(help_text="When this was so, by the database's clock.")
    simulated = serializers.BooleanField()
    summary = serializers.CharField(help_text="The first sentence; that the run is simulated comes before it.")
    reasons = ReasonShape(many=True)


class StepPage(Shape):
    """Steps in the order in which they were recorded."""

    items = StepShape(many=True)
    next = serializers.URLField(allow_null=True)
    prev = serializers.URLField(allow_null=True)


class StepParameters(StrictSerializer):
    """A page of steps, oldest first."""

    limit = WholeNumber(required=False, default=PAGE_LIMIT, min_value=1, max_value=PAGE_LIMIT)
    cursor = serializers.RegexField(r"^\d{1,18}\Z", required=False, help_text="From `next` of another page.")


class WorkerParameters(StrictSerializer):
    """Which workers."""

    state = serializers.ChoiceField(choices=WorkerState.values, required=False, help_text="By default those that live.")


class CurrentRunShape(Shape):
    """A run that a worker holds."""

    run = serializers.UUIDField(source="run_id")
    task = serializers.UUIDField(source="task_id")
    simulated = serializers.BooleanField()
    since = Instant(help_text="Its claim.")
    step = serializers.CharField(allow_null=True, help_text="The call that is open; null between calls.")
    step_since = Instant(allow_null=True)


class WorkerShape(Shape):
    """One worker process. What it does is as of its last beat."""

    id = serializers.UUIDField(source="boot_id")
    supervisor = serializers.UUIDField(source="supervisor_id", help_text="The same for all processes of a host.")
    host = serializers.CharField()
    pid = serializers.IntegerField()
    release = serializers.CharField()
    state = serializers.ChoiceField(choices=WorkerState.values)
    queues = serializers.ListField(child=serializers.CharField())
    slots = serializers.IntegerField()
    running = serializers.IntegerField(source="running_count")
    runs = serializers.SerializerMethodField(
        help_text="What it holds, the longest first: at most forty, and only runs that the caller may see."
    )
    beat_at = Instant()
    beat_age_seconds = serializers.SerializerMethodField(help_text="Null once it has ended.")
    state_reason = serializers.CharField(allow_blank=True, help_text="Why it drains, has stopped or is lost.")
    last_error = serializers.SerializerMethodField(
        help_text="The last unexpected error of the process or of its supervisor; for operators and all:read."
    )
    last_error_at = Instant(allow_null=True)
    drain_requested_at = Instant(allow_null=True)
    drain_requested_by = serializers.CharField(allow_blank=True)
    started_at = Instant()
    stopped_at = Instant(allow_null=True)
    allowed_actions = serializers.SerializerMethodField()

    @extend_schema_field(CurrentRunShape(many=True))
    def get_runs(self, worker: Worker) -> Any:
        return CurrentRunShape(self.context["runs"][worker.pk], many=True).data

    def get_beat_age_seconds(self, worker: Worker) -> float | None:
        if worker.stopped_at is not None:
            return None
        age: float = (self.context["now"] - worker.beat_at).total_seconds()
        return round(max(0.0, age), 3)

    def get_last_error(self, worker: Worker) -> str:
        return worker.last_error if self.context["sees_all"] else ""

    def get_allowed_actions(self, worker: Worker) -> list[str]:
        return list(worker_actions(worker))


class WorkerDrain(StrictSerializer):
    """Why it is drained, and whether the other processes of its host are too."""

    reason = Text(required=False, allow_blank=True, default="", max_length=500)
    whole_host = Truth(required=False, default=False, help_text="Drain every process of the same `runworkers`.")


class WorkerPage(Shape):
    """Worker processes, newest first."""

    items = WorkerShape(many=True)
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


class RunExplanation(View):
    tag = "runs"
    access = {"get": READ_RUNS}

    @extend_schema(operation_id="explainRun", responses=ExplanationShape)
    def get(self, request: Request, run_id: UUID) -> Response:
        """Explain why a run does not run, or what it does: codes, sentences and facts, the most important first."""
        run = seen(request, visible_runs).select_related("task").get(pk=run_id)
        return Response(ExplanationShape(explain(run)).data)


class ReplayDefinition(StrictSerializer):
    """From where."""

    revision = serializers.ChoiceField(
        choices=["same", "newest"], required=False, default="same", help_text="The document to run."
    )

    def get_fields(self) -> dict[str, Any]:
        words = "The id of a step: those before it are not run again. Without it all are."
        begin = Text(required=False, default="", allow_blank=True, max_length=100, help_text=words)
        return {"from": begin, **super().get_fields()}


class ReplayRun(View):
    tag = "runs"
    access = {"post": OPERATE_RUNS}

    @extend_schema(operation_id="replayRun", request=ReplayDefinition, responses={202: RunShape})
    @idempotent
    def post(self, request: Request, run_id: UUID) -> Response:
        """Do a run again, with its params and its event: from a step on, with what was finished before it."""
        given = parse(ReplayDefinition, body_of(request))
        run = find_to_change(request, visible_runs, run_id)
        made = replay_run(
            actor=actor_of(request), run=run, from_step=given["from"], newest=given["revision"] == "newest"
        )
        return Response(RunShape(made).data, status=202)


class RecordingShape(Shape):
    """A run that has been, ready to be simulated again."""

    document = serializers.JSONField(help_text="The document, each step with what it has answered as its `simulate`.")
    params = serializers.JSONField()
    event = serializers.JSONField(allow_null=True)
    now = serializers.CharField(
        allow_null=True, help_text="The run's instant, which `now` gives in expressions; null where it has not begun."
    )
    notes = serializers.ListField(child=serializers.CharField(), help_text="What of the run this cannot tell.")


class RunFixtures(View):
    tag = "runs"
    access = {"get": READ_RUNS}

    @extend_schema(operation_id="recordRun", responses=RecordingShape)
    def get(self, request: Request, run_id: UUID) -> Response:
        """Record a run as fixtures: its document, to be simulated again, or saved with them."""
        run = seen(request, visible_runs).select_related("revision", "event").get(pk=run_id)
        try:
            return Response(RecordingShape(record_run(run)).data)
        except DocumentInvalid as error:
            raise Conflict(f"Its document cannot be used on this host: {error}") from error


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
        found = list(workers.order_by("-started_at", "pk")[:PAGE_LIMIT])
        return Response({"items": _shown(request, found), "next": None, "prev": None})


class WorkerView(View):
    tag = "workers"
    access = {"get": READ_WORKERS}

    @extend_schema(operation_id="getWorker", responses=WorkerShape)
    def get(self, request: Request, worker_id: UUID) -> Response:
        """Show a worker process and what it does."""
        return Response(_shown(request, [Worker.objects.get(pk=worker_id)])[0])


class DrainWorkerView(View):
    tag = "workers"
    access = {"post": OPERATE_WORKERS}

    @extend_schema(operation_id="drainWorker", request=WorkerDrain, responses={202: WorkerShape})
    @idempotent
    def post(self, request: Request, worker_id: UUID) -> Response:
        """Have it claim nothing more, finish or hand back what it holds, and end. Its host starts no other for it."""
        given = parse(WorkerDrain, body_of(request))
        worker = Worker.objects.get(pk=worker_id)
        asked = drain_worker(actor=actor_of(request), worker=worker, **given)
        return Response(_shown(request, [asked])[0], status=202)


def _shown(request: Request, workers: list[Worker]) -> list[Any]:
    """The workers as the caller may see them. Two queries, however many they are."""
    agent = caller_of(request).sees_only()
    context = {"runs": current_runs(workers, agent=agent), "now": database_now(), "sees_all": agent is None}
    return list(WorkerShape(workers, many=True, context=context).data)


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
    path("runs/<uuid:run_id>/explain", RunExplanation.as_view(), name="run-explain"),
    path("runs/<uuid:run_id>/replay", ReplayRun.as_view(), name="run-replay"),
    path("runs/<uuid:run_id>/fixtures", RunFixtures.as_view(), name="run-fixtures"),
    path("runs/<uuid:run_id>/artifacts/<slug:digest>", RunArtifact.as_view(), name="run-artifact"),
    path("workers", WorkerList.as_view(), name="workers"),
    path("workers/<uuid:worker_id>", WorkerView.as_view(), name="worker"),
    path("workers/<uuid:worker_id>/drain", DrainWorkerView.as_view(), name="worker-drain"),
    path("system", System.as_view(), name="system"),
]
