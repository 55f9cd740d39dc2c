"""The addresses of schedules."""

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.access import OPERATE_TASKS, READ_TASKS, WRITE_TASKS
from scheduling.api.finding import caller_of, find, find_to_change, seen
from scheduling.api.idempotency import idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters, WholeNumber
from scheduling.api.principal import actor_of
from scheduling.api.shapes import page_shape
from scheduling.api.views import View, body_of, created, entity_tag, matched_tag
from scheduling.core.preview import MAX_COUNT, Preview
from scheduling.core.recurrence import ScheduleError
from scheduling.core.recurrence.zones import get_zone
from scheduling.definitions.fields import Instant, LocalTime, Moment, Text
from scheduling.definitions.strict import StrictSerializer, parse, problems_in
from scheduling.errors import NotValid, VersionMismatch
from scheduling.instants import database_now
from scheduling.schedules import operations
from scheduling.schedules.definition import ScheduleChanges, ScheduleDefinition, refused
from scheduling.schedules.models import Schedule, ScheduleKind, ScheduleState
from scheduling.schedules.previews import preview_of, preview_of_schedule
from scheduling.schedules.selectors import edit_mark, visible_schedules
from scheduling.schedules.shapes import PreviewShape, ScheduleShape
from scheduling.tasks.models import Task
from scheduling.tasks.selectors import visible_tasks

_OWNER = "task.agent_id"
WEEKDAYS = {
    "kind": "rrule",
    "expression": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=8;BYMINUTE=0",
    "timezone": "Europe/Chisinau",
}


class RuleToPreview(StrictSerializer):
    """A line of `previewschedule`, and calendars."""

    kind = serializers.ChoiceField(choices=ScheduleKind.values)
    expression = serializers.CharField()
    timezone = serializers.CharField(required=False, allow_null=True)
    starts_at = LocalTime(required=False, allow_null=True)
    ends_at = Moment(required=False, allow_null=True)
    after = Moment(required=False, allow_null=True, help_text="Null: from `starts_at` on, or from now.")
    count = WholeNumber(required=False, allow_null=True, min_value=1, max_value=MAX_COUNT)
    exdates = serializers.ListField(child=LocalTime(), required=False, allow_null=True)
    rdates = serializers.ListField(child=LocalTime(), required=False, allow_null=True)
    calendars = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        allow_null=True,
        help_text="Exclusion calendars of the agent, by key.",
    )
    gap = serializers.CharField(required=False, allow_null=True)
    fold = serializers.CharField(required=False, allow_null=True)


class UpcomingParameters(StrictSerializer):
    """How many coming occurrences, and from when."""

    count = WholeNumber(required=False, default=5, min_value=1, max_value=1000)
    after = Moment(required=False, help_text="An instant, or a local time of the schedule; without it now.")


class SchedulePause(StrictSerializer):
    """Why, and until when: with `until` the schedule resumes by itself."""

    reason = Text(required=False, allow_blank=True, default="", max_length=500)
    until = Instant(required=False, allow_null=True, default=None)


class ScheduleParameters(PageParameters):
    """Which schedules."""

    state = serializers.ChoiceField(choices=ScheduleState.values, required=False)
    task = serializers.UUIDField(required=False)


class ScheduleList(View):
    tag = "schedules"
    access = {"get": READ_TASKS}
    parameters = {"get": ScheduleParameters}

    @extend_schema(operation_id="listSchedules", responses=page_shape(ScheduleShape))
    def get(self, request: Request) -> Response:
        """List the schedules of all tasks, newest first."""
        chosen = {
            column: self.given[name] for name, column in (("state", "state"), ("task", "task_id")) if name in self.given
        }
        schedules = seen(request, visible_schedules).filter(**chosen)
        return Response(page_of(request, schedules, self.given, lambda rows: list(ScheduleShape(rows, many=True).data)))


class SchedulesOfTask(View):
    tag = "schedules"
    access = {"get": READ_TASKS, "post": WRITE_TASKS}

    @extend_schema(operation_id="listSchedulesOfTask", responses=page_shape(ScheduleShape))
    def get(self, request: Request, task_id: UUID) -> Response:
        """List the schedules of a task (at most a hundred, so in one page)."""
        task: Task = find(request, visible_tasks, task_id)
        items = ScheduleShape(task.schedules.all(), many=True).data
        return Response({"items": items, "next": None, "prev": None})

    @extend_schema(
        operation_id="createSchedule",
        request=ScheduleDefinition,
        responses={201: ScheduleShape},
        examples=[OpenApiExample("Weekdays at eight", WEEKDAYS, request_only=True)],
    )
    @idempotent
    def post(self, request: Request, task_id: UUID) -> Response:
        """Give the task one more schedule."""
        task = find_to_change(request, visible_tasks, task_id)
        schedule = operations.add_schedule(actor=actor_of(request), task=task, definition=body_of(request))
        return created(_shown(schedule), location=f"/api/v1/schedules/{schedule.pk}", tag=_tag(schedule))


class ScheduleView(View):
    tag = "schedules"
    access = {"get": READ_TASKS, "patch": WRITE_TASKS, "delete": WRITE_TASKS}
    conditional_methods = ("patch",)

    @extend_schema(operation_id="getSchedule", responses=ScheduleShape)
    def get(self, request: Request, schedule_id: UUID) -> Response:
        """Show a schedule; its ETag changes with every edit, and not when it fires."""
        return _answer(find(request, visible_schedules, schedule_id))

    @extend_schema(operation_id="updateSchedule", request=ScheduleChanges, responses=ScheduleShape)
    @idempotent
    def patch(self, request: Request, schedule_id: UUID) -> Response:
        """Change some fields. The next firing is the first occurrence of the new rule after now."""
        schedule = find_to_change(request, visible_schedules, schedule_id, owner=_OWNER)
        tag = matched_tag(request)
        if tag is not None and tag != str(edit_mark(schedule)):
            raise VersionMismatch(hint="Read the schedule again and apply the change to what it is now.")
        changed = operations.update_schedule(
            actor=actor_of(request),
            schedule=schedule,
            changes=body_of(request),
            unchanged_since=None if tag is None else schedule.updated_at,
        )
        return _answer(changed)

    @extend_schema(operation_id="deleteSchedule", request=None, responses={204: None})
    @idempotent
    def delete(self, request: Request, schedule_id: UUID) -> Response:
        """Remove a schedule. Its runs stay."""
        schedule = find_to_change(request, visible_schedules, schedule_id, owner=_OWNER)
        operations.delete_schedule(actor=actor_of(request), schedule=schedule)
        return Response(status=204)


class PauseScheduleView(View):
    tag = "schedules"
    access = {"post": OPERATE_TASKS}

    @extend_schema(operation_id="pauseSchedule", request=SchedulePause, responses=ScheduleShape)
    @idempotent
    def post(self, request: Request, schedule_id: UUID) -> Response:
        """Stop firing until resumed, or until an instant. What passes meanwhile is counted and never replayed."""
        given = parse(SchedulePause, body_of(request))
        schedule = find_to_change(request, visible_schedules, schedule_id, owner=_OWNER)
        return _answer(operations.pause_schedule(actor=actor_of(request), schedule=schedule, **given))


class ResumeScheduleView(View):
    tag = "schedules"
    access = {"post": OPERATE_TASKS}

    @extend_schema(operation_id="resumeSchedule", request=None, responses=ScheduleShape)
    @idempotent
    def post(self, request: Request, schedule_id: UUID) -> Response:
        """Fire again, from the first occurrence after now; what passed meanwhile is counted as missed."""
        parse(StrictSerializer, body_of(request))
        schedule = find_to_change(request, visible_schedules, schedule_id, owner=_OWNER)
        return _answer(operations.resume_schedule(actor=actor_of(request), schedule=schedule))


class SchedulePreviewView(View):
    tag = "schedules"
    access = {"get": READ_TASKS}
    parameters = {"get": UpcomingParameters}

    @extend_schema(operation_id="previewSchedule", responses=PreviewShape)
    def get(self, request: Request, schedule_id: UUID) -> Response:
        """The coming occurrences of a schedule, in its local time and in UTC."""
        schedule = find(request, visible_schedules, schedule_id)
        now = database_now()
        after = self.given.get("after")
        try:
            after = now if after is None else get_zone(schedule.timezone).after(after)
            found = preview_of_schedule(schedule, after=after, now=now, count=self.given["count"])
        except ScheduleError as error:
            raise NotValid.because(problems_in(refused(error).detail)) from error
        return Response(preview_document(found))


class PreviewView(View):
    tag = "schedules"
    access = {"post": READ_TASKS}

    @extend_schema(
        operation_id="previewRule",
        request=RuleToPreview,
        responses=PreviewShape,
        examples=[OpenApiExample("Weekdays at eight", {**WEEKDAYS, "count": 5}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """The coming occurrences of a rule that need not be stored. Nothing is."""
        found = preview_of(body_of(request), agent=caller_of(request).agent, now=database_now())
        return Response(preview_document(found))


def preview_document(found: Preview) -> dict[str, Any]:
    return {
        "next": [{"local": each.local, "utc": each.utc} for each in found.next],
        "sentence": found.sentence,
        "notes": list(found.notes),
    }


def _shown(schedule: Schedule) -> Any:
    return ScheduleShape(schedule).data


def _tag(schedule: Schedule) -> str:
    return entity_tag(edit_mark(schedule))


def _answer(schedule: Schedule) -> Response:
    return Response(_shown(schedule), headers={"ETag": _tag(schedule)})


urlpatterns = [
    path("schedules", ScheduleList.as_view(), name="schedules"),
    path("tasks/<uuid:task_id>/schedules", SchedulesOfTask.as_view(), name="task-schedules"),
    path("schedules/preview", PreviewView.as_view(), name="rule-preview"),
    path("schedules/<uuid:schedule_id>", ScheduleView.as_view(), name="schedule"),
    path("schedules/<uuid:schedule_id>/pause", PauseScheduleView.as_view(), name="schedule-pause"),
    path("schedules/<uuid:schedule_id>/resume", ResumeScheduleView.as_view(), name="schedule-resume"),
    path("schedules/<uuid:schedule_id>/preview", SchedulePreviewView.as_view(), name="schedule-preview"),
]
