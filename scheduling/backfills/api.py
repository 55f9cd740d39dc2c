"""The addresses of backfills."""

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.access import READ_RUNS, READ_TASKS, START_RUNS
from scheduling.api.finding import find, find_to_change, seen
from scheduling.api.idempotency import idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters
from scheduling.api.principal import actor_of
from scheduling.api.shapes import page_shape
from scheduling.api.views import View, body_of, created
from scheduling.backfills import operations
from scheduling.backfills.definition import BackfillCancellation, BackfillDefinition, BackfillRange
from scheduling.backfills.models import Backfill, BackfillState
from scheduling.backfills.selectors import visible_backfills
from scheduling.backfills.shapes import BackfillPreviewShape, BackfillShape, preview_document
from scheduling.definitions.strict import parse
from scheduling.schedules.models import Schedule
from scheduling.schedules.selectors import visible_schedules

_MARCH = {"start": "2026-03-01T00:00:00", "end": "2026-03-31T23:59:59"}


class BackfillParameters(PageParameters):
    """Which backfills."""

    state = serializers.ChoiceField(choices=BackfillState.values, required=False)
    schedule = serializers.UUIDField(required=False)
    task = serializers.UUIDField(required=False)


class BackfillsOfScheduleParameters(PageParameters):
    """Which backfills of the schedule."""

    state = serializers.ChoiceField(choices=BackfillState.values, required=False)


class BackfillPreviewView(View):
    tag = "backfills"
    access = {"post": READ_TASKS}

    @extend_schema(
        operation_id="previewBackfill",
        request=BackfillRange,
        responses=BackfillPreviewShape,
        examples=[OpenApiExample("March, local time", _MARCH, request_only=True)],
    )
    def post(self, request: Request, schedule_id: UUID) -> Response:
        """Count the occurrences of a past range, and how many of them ran before. Nothing is stored."""
        schedule: Schedule = find(request, visible_schedules, schedule_id)
        found = operations.preview_backfill(schedule=schedule, given=body_of(request))
        return Response(preview_document(found, timezone=schedule.timezone))


class BackfillsOfSchedule(View):
    tag = "backfills"
    access = {"get": READ_RUNS, "post": START_RUNS}
    parameters = {"get": BackfillsOfScheduleParameters}

    @extend_schema(operation_id="listBackfillsOfSchedule", responses=page_shape(BackfillShape))
    def get(self, request: Request, schedule_id: UUID) -> Response:
        """List the backfills of a schedule, newest first."""
        schedule: Schedule = find(request, visible_schedules, schedule_id)
        return _page(request, {**self.given, "schedule": schedule.pk})

    @extend_schema(
        operation_id="createBackfill",
        request=BackfillDefinition,
        responses={201: BackfillShape},
        examples=[
            OpenApiExample("One at a time", _MARCH, request_only=True),
            OpenApiExample("Four at once", {**_MARCH, "overlap": "allow", "max_active": 4}, request_only=True),
        ],
    )
    @idempotent
    def post(self, request: Request, schedule_id: UUID) -> Response:
        """Run the occurrences of a past range, at its own pace. One backfill of a schedule runs at a time."""
        schedule = find_to_change(request, visible_schedules, schedule_id, owner="task.agent_id")
        backfill = operations.create_backfill(actor=actor_of(request), schedule=schedule, definition=body_of(request))
        return created(BackfillShape(backfill).data, location=f"/api/v1/backfills/{backfill.pk}")


class BackfillList(View):
    tag = "backfills"
    access = {"get": READ_RUNS}
    parameters = {"get": BackfillParameters}

    @extend_schema(operation_id="listBackfills", responses=page_shape(BackfillShape))
    def get(self, request: Request) -> Response:
        """List the backfills of all schedules, newest first."""
        return _page(request, self.given)


class BackfillView(View):
    tag = "backfills"
    access = {"get": READ_RUNS}

    @extend_schema(operation_id="getBackfill", responses=BackfillShape)
    def get(self, request: Request, backfill_id: UUID) -> Response:
        """Show a backfill and how far it has come."""
        return Response(BackfillShape(find(request, visible_backfills, backfill_id)).data)


class CancelBackfillView(View):
    tag = "backfills"
    access = {"post": START_RUNS}

    @extend_schema(operation_id="cancelBackfill", request=BackfillCancellation, responses=BackfillShape)
    @idempotent
    def post(self, request: Request, backfill_id: UUID) -> Response:
        """Start no more of it; with `cancel_runs` also cancel its runs that are queued or running."""
        given = parse(BackfillCancellation, body_of(request))
        backfill: Backfill = find_to_change(request, visible_backfills, backfill_id, owner="schedule.task.agent_id")
        canceled = operations.cancel_backfill(
            actor=actor_of(request), backfill=backfill, reason=given["reason"], cancel_runs=given["cancel_runs"]
        )
        return Response(BackfillShape(canceled).data)


def _page(request: Request, given: dict[str, Any]) -> Response:
    columns = {"state": "state", "schedule": "schedule_id", "task": "schedule__task_id"}
    chosen = {column: given[name] for name, column in columns.items() if name in given}
    backfills = seen(request, visible_backfills).filter(**chosen)
    return Response(page_of(request, backfills, given, lambda rows: list(BackfillShape(rows, many=True).data)))


urlpatterns = [
    path("schedules/<uuid:schedule_id>/backfills/preview", BackfillPreviewView.as_view(), name="backfill-preview"),
    path("schedules/<uuid:schedule_id>/backfills", BackfillsOfSchedule.as_view(), name="schedule-backfills"),
    path("backfills", BackfillList.as_view(), name="backfills"),
    path("backfills/<uuid:backfill_id>", BackfillView.as_view(), name="backfill"),
    path("backfills/<uuid:backfill_id>/cancel", CancelBackfillView.as_view(), name="backfill-cancel"),
]
