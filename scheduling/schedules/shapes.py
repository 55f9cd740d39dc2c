"""A schedule as the API shows it."""

from datetime import datetime
from typing import Any

from django.db.models import Manager
from rest_framework import serializers

from scheduling.api.shapes import Shape
from scheduling.core.recurrence import ScheduleError
from scheduling.definitions.fields import Duration, Instant, LocalTime
from scheduling.schedules.models import MisfirePolicyName, Schedule, ScheduleKind, ScheduleState
from scheduling.schedules.operations import allowed_actions
from scheduling.schedules.rules import calendar_keys, load_calendars, recurrence_of
from scheduling.schedules.selectors import upcoming


class MisfireShape(Shape):
    """What becomes of late occurrences."""

    policy = serializers.ChoiceField(choices=MisfirePolicyName.values, source="misfire_policy")
    grace = Duration(source="misfire_grace")
    limit = serializers.IntegerField(source="misfire_limit")
    window = Duration(source="misfire_window", allow_null=True)


class ScheduleList(serializers.ListSerializer[Any]):
    """Many schedules, their calendars read at once."""

    def to_representation(self, data: Any) -> list[Any]:
        rows = list(data.all() if isinstance(data, Manager) else data)
        load_calendars(rows)
        return super().to_representation(rows)


class ScheduleShape(Shape):
    """A rule of a task, and how far it has come."""

    class Meta:
        list_serializer_class = ScheduleList

    id = serializers.UUIDField()
    task = serializers.UUIDField(source="task_id")
    kind = serializers.ChoiceField(choices=ScheduleKind.values)
    expression = serializers.CharField()
    timezone = serializers.CharField()
    starts_at = LocalTime(help_text="The anchor, in local time.")
    ends_at = Instant(allow_null=True)
    exdates = serializers.ListField(child=LocalTime())
    rdates = serializers.ListField(child=LocalTime())
    calendars = serializers.SerializerMethodField(help_text="Exclusion calendars, by key.")
    max_occurrences = serializers.IntegerField(allow_null=True)
    filter = serializers.CharField(allow_blank=True)
    check = serializers.SerializerMethodField(help_text="The pipeline by which a condition looks.")
    after = serializers.SerializerMethodField(help_text="The key of the followed task.")
    condition_met = serializers.BooleanField(allow_null=True, help_text="What the newest check found.")
    jitter = Duration()
    misfire = MisfireShape(source="*")
    gap = serializers.CharField(allow_blank=True, help_text="Empty: the kind's own.")
    fold = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=ScheduleState.values)
    state_reason = serializers.CharField(allow_blank=True)
    paused_until = Instant(allow_null=True, help_text="Snoozed: it resumes by itself.")
    sentence = serializers.SerializerMethodField()
    next_fire_at = serializers.SerializerMethodField(help_text="Null while it is paused, held by its task, or over.")
    last_fired_at = Instant(allow_null=True)
    fired_count = serializers.IntegerField()
    missed_count = serializers.IntegerField()
    skipped_count = serializers.IntegerField()
    created_at = Instant()
    updated_at = Instant()
    allowed_actions = serializers.SerializerMethodField()

    def get_calendars(self, schedule: Schedule) -> list[str]:
        return calendar_keys(schedule)

    def get_sentence(self, schedule: Schedule) -> str:
        try:
            return recurrence_of(schedule).sentence
        except ScheduleError as error:
            return f"Not valid: {error.detail}"

    def get_check(self, schedule: Schedule) -> dict[str, Any] | None:
        return None if schedule.check_revision is None else dict(schedule.check_revision.document)

    def get_after(self, schedule: Schedule) -> str | None:
        return None if schedule.after_task is None else schedule.after_task.key

    def get_next_fire_at(self, schedule: Schedule) -> datetime | None:
        instant: Any = upcoming(schedule)
        return None if instant is None else Instant().to_representation(instant)  # type: ignore[return-value]

    def get_allowed_actions(self, schedule: Schedule) -> list[str]:
        return list(allowed_actions(schedule))


class OccurrenceShape(Shape):
    """One instant."""

    local = serializers.CharField(help_text="In the schedule's zone, with its offset.")
    utc = serializers.CharField()


class PreviewShape(Shape):
    """The coming occurrences of a rule."""

    next = OccurrenceShape(many=True)
    sentence = serializers.CharField()
    notes = serializers.ListField(child=serializers.CharField())
