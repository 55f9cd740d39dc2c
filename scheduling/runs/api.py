"""The addresses of runs. Their steps are shown by the layer that writes them (`workers.api`)."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.access import OPERATE_RUNS, READ_RUNS
from scheduling.api.finding import find, find_to_change, seen
from scheduling.api.idempotency import idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters
from scheduling.api.principal import actor_of
from scheduling.api.shapes import page_shape
from scheduling.api.views import View, body_of
from scheduling.definitions.fields import Duration, Instant, Text
from scheduling.definitions.strict import StrictSerializer, parse
from scheduling.ids import first_id_at
from scheduling.runs import operations
from scheduling.runs.models import Run
from scheduling.runs.selectors import in_state, visible_runs
from scheduling.runs.shapes import RunShape
from scheduling.runs.states import RunState, TriggerKind
from scheduling.runs.waiting import LONGEST_WAIT, wait_for_end


class RunParameters(PageParameters):
    """Which runs."""

    task = serializers.UUIDField(required=False)
    schedule = serializers.UUIDField(required=False)
    backfill = serializers.UUIDField(required=False)
    parent = serializers.UUIDField(  # type: ignore[assignment]
        required=False, help_text="The run whose step has started them."
    )
    state = serializers.ChoiceField(choices=RunState.values, required=False)
    trigger = serializers.ChoiceField(choices=TriggerKind.values, required=False)
    created_after = Instant(required=False, help_text="From this instant on.")
    created_before = Instant(required=False, help_text="Before this instant.")


class WaitParameters(StrictSerializer):
    """Whether to wait for the end."""

    wait = serializers.FloatField(
        required=False,
        default=0,
        min_value=0,
        max_value=LONGEST_WAIT,
        help_text="Seconds to wait for the run's end before it is shown as it is.",
    )


class RunCancellation(StrictSerializer):
    """Why it is canceled."""

    reason = Text(required=False, allow_blank=True, default="", max_length=500)


class RunSnooze(StrictSerializer):
    """How long it is put off: one of `until` and `for`."""

    until = Instant(required=False)
    reason = Text(required=False, allow_blank=True, default="", max_length=500)

    def get_fields(self) -> dict[str, Any]:
        # `for` is a word of Python's.
        return {**super().get_fields(), "for": Duration(required=False, minimum=timedelta(seconds=1))}


class RunList(View):
    tag = "runs"
    access = {"get": READ_RUNS}
    parameters = {"get": RunParameters}

    @extend_schema(operation_id="listRuns", responses=page_shape(RunShape))
    def get(self, request: Request) -> Response:
        """List runs, newest first."""
        runs = _chosen(seen(request, visible_runs), self.given).select_related("task")
        return Response(page_of(request, runs, self.given, lambda rows: list(RunShape(rows, many=True).data)))


class RunView(View):
    tag = "runs"
    access = {"get": READ_RUNS}
    parameters = {"get": WaitParameters}

    @extend_schema(operation_id="getRun", responses=RunShape)
    def get(self, request: Request, run_id: UUID) -> Response:
        """Show a run; with `wait`, when it has ended or that many seconds have passed."""
        run = find(request, visible_runs, run_id)
        if self.given["wait"]:
            wait_for_end(run.pk, seconds=self.given["wait"])
            run = find(request, visible_runs, run_id)
        return Response(RunShape(run).data)


class CancelRunView(View):
    tag = "runs"
    access = {"post": OPERATE_RUNS}

    @extend_schema(operation_id="cancelRun", request=RunCancellation, responses=RunShape)
    @idempotent
    def post(self, request: Request, run_id: UUID) -> Response:
        """End the run: at once where no worker holds it, else within a second."""
        given = parse(RunCancellation, body_of(request))
        run = find_to_change(request, visible_runs, run_id)
        canceled = operations.cancel_run(actor=actor_of(request), run=run, reason=given["reason"])
        return Response(RunShape(canceled).data)


class SnoozeRunView(View):
    tag = "runs"
    access = {"post": OPERATE_RUNS}

    @extend_schema(operation_id="snoozeRun", request=RunSnooze, responses=RunShape)
    @idempotent
    def post(self, request: Request, run_id: UUID) -> Response:
        """Put off a queued run that no worker holds, until an instant or for a while."""
        given = parse(RunSnooze, body_of(request))
        run = find_to_change(request, visible_runs, run_id)
        snoozed = operations.snooze_run(
            actor=actor_of(request),
            run=run,
            until=given.get("until"),
            span=given.get("for"),
            reason=given["reason"],
        )
        return Response(RunShape(snoozed).data)


class RetryRunView(View):
    tag = "runs"
    access = {"post": OPERATE_RUNS}

    @extend_schema(operation_id="retryRun", request=None, responses={202: RunShape})
    @idempotent
    def post(self, request: Request, run_id: UUID) -> Response:
        """Queue a failed run again. It goes on where it failed: finished steps are not run again."""
        parse(StrictSerializer, body_of(request))
        run = find_to_change(request, visible_runs, run_id)
        retried = operations.retry_run(actor=actor_of(request), run=run)
        return Response(RunShape(retried).data, status=202)


def _chosen(runs: QuerySet[Run], given: dict[str, Any]) -> QuerySet[Run]:
    """UUIDv7 keys sort by time, so a range of times is a range of the key."""
    equal = {
        "task": "task_id",
        "schedule": "schedule_id",
        "backfill": "backfill_id",
        "parent": "parent_id",
        "trigger": "trigger_kind",
    }
    runs = runs.filter(**{column: given[name] for name, column in equal.items() if name in given})
    if "state" in given:
        runs = in_state(runs, RunState(given["state"]))
    if "created_after" in given:
        runs = runs.filter(pk__gte=first_id_at(given["created_after"]))
    if "created_before" in given:
        runs = runs.filter(pk__lt=first_id_at(given["created_before"]))
    return runs


urlpatterns = [
    path("runs", RunList.as_view(), name="runs"),
    path("runs/<uuid:run_id>", RunView.as_view(), name="run"),
    path("runs/<uuid:run_id>/cancel", CancelRunView.as_view(), name="run-cancel"),
    path("runs/<uuid:run_id>/snooze", SnoozeRunView.as_view(), name="run-snooze"),
    path("runs/<uuid:run_id>/retry", RetryRunView.as_view(), name="run-retry"),
]
