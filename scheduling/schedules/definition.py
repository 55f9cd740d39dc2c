"""A schedule as it is written, and how what is written becomes columns."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rest_framework import serializers

from scheduling.core.acceptance import TIMES, means_nothing, require_room_between, require_some
from scheduling.core.preview import MAX_DATES
from scheduling.core.recurrence import ScheduleError, anchored
from scheduling.core.recurrence.zones import get_zone
from scheduling.definitions.fields import Choice, Duration, LocalTime, Moment, Number, Slug, Text
from scheduling.definitions.strict import StrictSerializer, refusal
from scheduling.ports import pipeline_port
from scheduling.schedules.limits import CALENDARS_LIMIT
from scheduling.schedules.models import WAITING_KINDS, FoldPolicy, GapPolicy, MisfirePolicyName, Schedule, ScheduleKind
from scheduling.schedules.rules import first_mark, rule_of, wall_time
from scheduling.tasks.pipeline_field import PipelineField
from scheduling.triggers.filters import NAMES

_PLAIN_COLUMNS = ("kind", "expression", "timezone", "jitter", "max_occurrences")
# Fields that are of some kinds only, and the columns that they become.
_FIELDS_OF_KINDS = {
    "filter": (ScheduleKind.EVENT, ScheduleKind.AFTER, ScheduleKind.CONDITION),
    "check": (ScheduleKind.CONDITION,),
    "after": (ScheduleKind.AFTER,),
}
_COLUMNS_OF_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "filter": {"filter": ""},
    "check": {"check_revision_id": None, "condition_met": None, "condition_checked_for": None},
    "after": {"after_task_id": None},
}
_FIELDS_OF_TIME = (*TIMES, "jitter")


class _Nullable(StrictSerializer):
    """Null of a member that has a default means the default, also where a change may leave members out."""

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        for name, value in values.items():
            default = self.fields[name].default
            if value is None and default is not serializers.empty:
                values[name] = default() if callable(default) else default
        return values


class MisfireDefinition(_Nullable):
    """What becomes of occurrences that are late by more than `grace`."""

    policy = Choice(
        choices=MisfirePolicyName.values, required=False, allow_null=True, default=MisfirePolicyName.LAST.value
    )
    grace = Duration(required=False, allow_null=True, default=timedelta(minutes=1))
    limit = Number(
        required=False, allow_null=True, default=100, min_value=1, max_value=1000, help_text="Late runs, for `all`."
    )
    window = Duration(
        required=False,
        default=None,
        allow_null=True,
        minimum=timedelta(seconds=1),
        help_text="How late is too late, for `all`.",
    )


def default_misfire() -> dict[str, Any]:
    return {name: field.default for name, field in MisfireDefinition().fields.items()}


class ScheduleChanges(_Nullable):
    """The fields of a schedule. Judged one by one; whether they make a rule is judged by `build` and `apply`."""

    kind = Choice(choices=ScheduleKind.values)
    expression = Text(max_length=4000, allow_blank=True, help_text="Of its kind: cron lines, RRULEs, PT15M, ...")
    timezone = Text(
        max_length=64, required=False, allow_null=True, default="UTC", allow_blank=True, help_text="An IANA name."
    )
    starts_at = LocalTime(
        required=False, allow_null=True, default=None, help_text="The anchor; without it the day of creation, 00:00."
    )
    ends_at = Moment(required=False, allow_null=True, default=None, help_text="Without an offset: local.")
    exdates = serializers.ListField(
        child=LocalTime(), required=False, allow_null=True, default=list, max_length=MAX_DATES
    )
    rdates = serializers.ListField(
        child=LocalTime(), required=False, allow_null=True, default=list, max_length=MAX_DATES
    )
    calendars = serializers.ListField(
        child=Slug(max_length=120),
        required=False,
        allow_null=True,
        default=list,
        max_length=CALENDARS_LIMIT,
        help_text="Exclusion calendars of the task's agent, by key: nothing occurs on their days.",
    )
    max_occurrences = Number(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        max_value=2**53,
        help_text="After so many runs of this schedule it is completed. What is skipped or missed does not count.",
    )
    filter = Text(
        required=False,
        allow_null=True,
        allow_blank=True,
        default="",
        max_length=2000,
        help_text="Of an event or after: over `event`. Of a condition: over the check's `outputs`.",
    )
    check = PipelineField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Of a condition: the pipeline that looks, at each interval. Its outputs are judged by `filter`.",
    )
    after = Slug(
        required=False,
        allow_null=True,
        default=None,
        max_length=120,
        help_text="Of kind after: the key of the followed task, of the same agent.",
    )
    jitter = Duration(required=False, allow_null=True, default=timedelta(0))
    misfire = MisfireDefinition(required=False, allow_null=True, default=default_misfire)
    gap = Choice(choices=GapPolicy.values, required=False, allow_null=True, allow_blank=True, default=None)
    fold = Choice(choices=FoldPolicy.values, required=False, allow_null=True, allow_blank=True, default=None)


class ScheduleDefinition(ScheduleChanges):
    """When a task runs. The context must hold `now`, an aware instant."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            built = build(attrs, now=self.context["now"])
            first_mark(built, now=self.context["now"])
            require_some(rule_of(built), now=self.context["now"], is_new=True)
            require_whole(attrs["kind"], has_check=attrs.get("check") is not None, has_after=bool(attrs.get("after")))
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

    Times are brought into the schedule's zone; ScheduleError where it is unknown. `calendars`, which are keys, are
    left to the operations, who know the agent and hold the rows.
    """
    for column in _PLAIN_COLUMNS:
        if column in values:
            setattr(schedule, column, values[column])
    if schedule.kind in WAITING_KINDS:
        _refuse_what_nobody_reads(schedule, values)
    _apply_times(schedule, values)
    for part, value in (values.get("misfire") or {}).items():
        setattr(schedule, f"misfire_{part}", value)
    if "filter" in values:
        schedule.filter = values["filter"]
    _leave_off_what_is_of_other_kinds(schedule, values)
    require_room_between(schedule.starts_at, schedule.ends_at, schedule.timezone)
    _require_good_filter(schedule)
    _require_outputs(schedule, values)


def _apply_times(schedule: Schedule, values: Mapping[str, Any]) -> None:
    zone = schedule.timezone
    if "starts_at" in values:
        schedule.starts_at = wall_time(values["starts_at"], zone, field="starts_at")
    if "ends_at" in values:
        ends_at = values["ends_at"]
        schedule.ends_at = None if ends_at is None else get_zone(zone).end_of(ends_at)
    for column in ("exdates", "rdates"):
        if column in values:
            setattr(schedule, column, [wall_time(each, zone, field=column) for each in values[column]])
    for column in ("gap", "fold"):
        if column in values:
            setattr(schedule, column, values[column] or "")


def require_whole(kind: str, *, has_check: bool, has_after: bool) -> None:
    """ScheduleError where a kind lacks the field that it cannot be without."""
    if kind == ScheduleKind.CONDITION and not has_check:
        raise ScheduleError(
            "missing_check",
            "A condition looks by means of a pipeline, which is missing",
            field="check",
            hint="Give a pipeline document whose outputs say whether to fire, as `met`.",
        )
    if kind == ScheduleKind.AFTER and not has_after:
        raise ScheduleError(
            "missing_after",
            "A schedule of kind after follows another task, which is missing",
            field="after",
            hint="Give the key of a task of the same agent.",
        )


def _leave_off_what_is_of_other_kinds(schedule: Schedule, values: Mapping[str, Any]) -> None:
    """Forget what the former kind of the schedule had; ScheduleError for what is given and means nothing here."""
    for field, kinds in _FIELDS_OF_KINDS.items():
        if schedule.kind not in kinds:
            if values.get(field):
                raise means_nothing(field, schedule.kind)
            for column, nothing in _COLUMNS_OF_FIELDS[field].items():
                setattr(schedule, column, nothing)
    if schedule.kind in WAITING_KINDS:
        for field in _FIELDS_OF_TIME:
            if getattr(schedule, field):
                raise means_nothing(field, schedule.kind)


def _refuse_what_nobody_reads(schedule: Schedule, values: Mapping[str, Any]) -> None:
    """ScheduleError for an anchor or a misfire policy, which every row has, of a schedule that waits for something: it
    may be given as it is stored, since clients send back what they have read."""
    anchor = values.get("starts_at")
    if anchor is not None and wall_time(anchor, schedule.timezone, field="starts_at") != schedule.starts_at:
        raise means_nothing("starts_at", schedule.kind)
    misfire = values.get("misfire") or {}
    if any(getattr(schedule, f"misfire_{part}") != value for part, value in misfire.items()):
        raise means_nothing("misfire", schedule.kind)


def _require_good_filter(schedule: Schedule) -> None:
    found = pipeline_port().check_expression(schedule.filter, names=NAMES[schedule.kind]) if schedule.filter else ()
    for problem in found:
        if problem.get("severity", "error") == "error":
            raise ScheduleError(problem["code"], problem["detail"], field="filter", hint=problem.get("hint"))


def _require_outputs(schedule: Schedule, values: Mapping[str, Any]) -> None:
    """ScheduleError where nothing that the check puts out is judged: a new check, or the stored one by a new filter."""
    check = values.get("check")
    if check is None and "filter" in values and schedule.check_revision is not None:
        check = schedule.check_revision.document
    if check is None:
        return
    outputs = check.get("outputs") or {}
    if not outputs or not (schedule.filter or "met" in outputs):
        raise ScheduleError(
            "check_says_nothing",
            "The check has no output `met`, and there is no filter over its other outputs",
            field="check",
            hint='Give it outputs: {"met": "${...}"}, or write a filter such as outputs.rain_mm > 2.',
        )


def refused(error: ScheduleError) -> serializers.ValidationError:
    """A rule's error as the error of its field."""
    own = refusal(error.code, _sentence(error.detail), hint=error.hint).detail
    return serializers.ValidationError({error.field: own} if error.field in ScheduleChanges().fields else own)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
