"""A schedule as it is written, and how what is written becomes columns."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rest_framework import serializers

from scheduling.core.recurrence import ScheduleError, anchored
from scheduling.definitions.fields import Choice, Duration, LocalTime, Moment, Number, Text
from scheduling.definitions.strict import StrictSerializer, refusal
from scheduling.schedules.models import FoldPolicy, GapPolicy, MisfirePolicyName, Schedule, ScheduleKind
from scheduling.schedules.rules import first_mark, instant, rule_of, wall_time

_PLAIN_COLUMNS = ("kind", "expression", "timezone", "jitter")
_DATES_LIMIT = 1000


class MisfireDefinition(StrictSerializer):
    """What becomes of occurrences that are late by more than `grace`."""

    policy = Choice(choices=MisfirePolicyName.values, required=False, default=MisfirePolicyName.LAST.value)
    grace = Duration(required=False, default=timedelta(minutes=1))
    limit = Number(required=False, default=100, min_value=1, max_value=10_000, help_text="Late runs, for `all`.")
    window = Duration(
        required=False,
        default=None,
        allow_null=True,
        minimum=timedelta(seconds=1),
        help_text="How late is too late, for `all`.",
    )


class ScheduleChanges(StrictSerializer):
    """The fields of a schedule. Judged one by one; whether they make a rule is judged by `build` and `apply`."""

    kind = Choice(choices=ScheduleKind.values)
    expression = Text(max_length=4000, allow_blank=True, help_text="Of its kind: cron lines, RRULEs, PT15M, ...")
    timezone = Text(max_length=64, required=False, default="UTC", allow_blank=True, help_text="An IANA name.")
    starts_at = LocalTime(
        required=False, allow_null=True, default=None, help_text="The anchor; without it the day of creation, 00:00."
    )
    ends_at = Moment(required=False, allow_null=True, default=None, help_text="Without an offset: local.")
    exdates = serializers.ListField(child=LocalTime(), required=False, default=list, max_length=_DATES_LIMIT)
    rdates = serializers.ListField(child=LocalTime(), required=False, default=list, max_length=_DATES_LIMIT)
    jitter = Duration(required=False, default=timedelta(0))
    misfire = MisfireDefinition(required=False)
    gap = Choice(choices=GapPolicy.values, required=False, allow_null=True, default=None)
    fold = Choice(choices=FoldPolicy.values, required=False, allow_null=True, default=None)


class ScheduleDefinition(ScheduleChanges):
    """When a task runs. The context must hold `now`, an aware instant."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            first_mark(build(attrs, now=self.context["now"]), now=self.context["now"])
        except ScheduleError as error:
            raise refused(error) from error
        return attrs


def build(values: Mapping[str, Any], *, now: datetime) -> Schedule:
    """An unsaved schedule of validated values; ScheduleError for a zone that does not exist.

    The anchor that nobody gave is the local day of its creation, 00:00:00.
    """
    schedule = Schedule(timezone=values.get("timezone", "UTC"))
    apply(schedule, values)
    schedule.starts_at = anchored(rule_of(schedule), at=now).starts_at
    return schedule


def apply(schedule: Schedule, values: Mapping[str, Any]) -> None:
    """Lay validated values over a schedule's columns; those that are missing stay as they are.

    Times are brought into the schedule's zone; ScheduleError where it is unknown.
    """
    for column in _PLAIN_COLUMNS:
        if column in values:
            setattr(schedule, column, values[column])
    zone = schedule.timezone
    if "starts_at" in values:
        schedule.starts_at = wall_time(values["starts_at"], zone, field="starts_at")
    if "ends_at" in values:
        schedule.ends_at = instant(values["ends_at"], zone)
    for column in ("exdates", "rdates"):
        if column in values:
            setattr(schedule, column, [wall_time(each, zone, field=column) for each in values[column]])
    for column in ("gap", "fold"):
        if column in values:
            setattr(schedule, column, values[column] or "")
    for part, value in (values.get("misfire") or {}).items():
        setattr(schedule, f"misfire_{part}", value)
    _require_room_between(schedule)


def _require_room_between(schedule: Schedule) -> None:
    """ScheduleError where the end lies before the anchor: no rule occurs between the two."""
    if schedule.starts_at is None or schedule.ends_at is None:
        return
    start = instant(schedule.starts_at, schedule.timezone)
    if start is not None and schedule.ends_at < start:
        raise ScheduleError(
            "ends_before_it_starts",
            f"ends_at lies before starts_at, {schedule.starts_at.isoformat()} in {schedule.timezone}",
            field="ends_at",
            hint="Exchange the two, or leave ends_at out.",
        )


def refused(error: ScheduleError) -> serializers.ValidationError:
    """A rule's error as the error of its field."""
    own = refusal(error.code, _sentence(error.detail), hint=error.hint).detail
    return serializers.ValidationError({error.field: own} if error.field in ScheduleChanges().fields else own)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
