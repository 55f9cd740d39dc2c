"""A schedule's row as a rule, and where its mark belongs. Reads nothing but the calendars that the row names."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from scheduling.calendars.exclusions import exclusions_of, in_order
from scheduling.core.acceptance import first_instant
from scheduling.core.planning import MisfirePolicy
from scheduling.core.recurrence import Exclusions, Recurrence, Rule, ScheduleError, compile_rule
from scheduling.core.recurrence.zones import get_zone
from scheduling.schedules.models import WAITING_KINDS, Schedule, ScheduleState

# What is over has no further occurrence to account for.
ACCOUNTED_FOR_EVER = datetime(9999, 12, 31, tzinfo=UTC)

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# The columns that say when; a change of any other leaves the mark where it is.
RULE_COLUMNS = (
    "kind",
    "expression",
    "timezone",
    "starts_at",
    "ends_at",
    "exdates",
    "rdates",
    "gap",
    "fold",
    "calendars",
)


def load_calendars(schedules: Iterable[Schedule]) -> None:
    """Read the calendars of all these rows at once, for the `rule_of` of each."""
    rows = list(schedules)
    known = exclusions_of(each for schedule in rows for each in schedule.calendars)
    for schedule in rows:
        schedule.known_calendars = known


def calendar_keys(schedule: Schedule) -> list[str]:
    """The keys of the calendars that the row names; the id of one that is gone."""
    known = _calendars(schedule)
    return [known[each].name if each in known else str(each) for each in schedule.calendars]


def rule_of(schedule: Schedule) -> Rule:
    """The row as a rule. Reads its calendars, if it names any; ScheduleError where one is missing."""
    return Rule(
        kind=schedule.kind,
        expression=schedule.expression,
        timezone=schedule.timezone,
        starts_at=schedule.starts_at,
        ends_at=schedule.ends_at,
        exdates=tuple(schedule.exdates),
        rdates=tuple(schedule.rdates),
        gap=schedule.gap or None,
        fold=schedule.fold or None,
        calendars=in_order(schedule.calendars, _calendars(schedule)),
    )


class HasMisfire(Protocol):
    """A schedule's row, whole or as far as the clock reads it."""

    @property
    def misfire_policy(self) -> str: ...
    @property
    def misfire_grace(self) -> timedelta: ...
    @property
    def misfire_limit(self) -> int: ...
    @property
    def misfire_window(self) -> timedelta | None: ...


def misfire_of(schedule: HasMisfire) -> MisfirePolicy:
    """What the row says of occurrences that were not fired in time."""
    return MisfirePolicy(
        policy=schedule.misfire_policy,
        grace=schedule.misfire_grace,
        limit=schedule.misfire_limit,
        window=schedule.misfire_window,
    )


def wall_time(given: datetime | None, timezone: str, *, field: str) -> datetime | None:
    """A time with an offset as the wall time of the zone; one without is one already.

    ScheduleError for an unknown zone, and for the second of two equal wall times, which a wall time cannot say.
    """
    if given is None or given.tzinfo is None:
        return given
    zone = get_zone(timezone)
    wall = zone.to_wall(given)
    if given.astimezone(UTC).replace(tzinfo=None) not in zone.resolve(wall, gap="shift", fold="first"):
        raise ScheduleError(
            "invalid_datetime",
            f"{given.isoformat()} is the second {wall:%H:%M} of its day, which a local time cannot say",
            field=field,
            hint="Give a local time without an offset, and the fold policy.",
        )
    return wall


def recurrence_of(schedule: Schedule) -> Recurrence:
    """The compiled rule; ScheduleError where it is not valid or can never occur."""
    return compile_rule(rule_of(schedule))


def first_mark(schedule: Schedule, *, now: datetime) -> datetime | None:
    """`first_instant` of the row's rule and grace; None also where it has had all its runs."""
    if schedule.remaining == 0:
        return None
    return first_instant(rule_of(schedule), now=now, grace=schedule.misfire_grace)


def mark_after_edit(schedule: Schedule, was: Schedule, *, now: datetime) -> datetime | None:
    """`first_mark` of a row whose rule has changed from what it `was`. A `once` whose instant has passed, and is the
    one that it was, has had its run or its miss and comes to no other, unless its mark still stands there."""
    mark = first_mark(schedule, now=now)
    if mark is None or mark > now or mark == was.next_fire_at or was.kind != schedule.kind:
        return mark
    try:
        is_the_same = compile_rule(replace(rule_of(was), rdates=())).names(mark.astimezone(UTC).replace(tzinfo=None))
    except ScheduleError:
        return mark
    return recurrence_of(schedule).next_after(now) if is_the_same else mark


def pause_end(schedule: Schedule) -> datetime:
    """Until when its own state and its task's pause keep it from firing, as things are: an instant of long ago where
    they do not, the end of time where somebody must resume it. A pause that is over may not have been noticed yet."""
    ends = [_LONG_AGO]
    if schedule.state != ScheduleState.ACTIVE:
        ends.append(schedule.paused_until or ACCOUNTED_FOR_EVER)
    if schedule.held_at is not None:
        ends.append(schedule.task.paused_until or ACCOUNTED_FOR_EVER)
    return max(ends)


def account_up_to_mark(schedule: Schedule) -> None:
    """Begin the audit at the mark: what lies before it was settled by another rule than the present one, or by hand."""
    mark = schedule.next_fire_at
    schedule.accounted_until = ACCOUNTED_FOR_EVER if mark is None else mark - timedelta(microseconds=1)


def seen_until(schedule: Schedule) -> datetime:
    """Up to where its occurrences have been looked for by the audit."""
    return schedule.accounted_until or max(schedule.created_at, schedule.updated_at)


def set_mark(schedule: Schedule, mark: datetime | None) -> None:
    """Move the mark; without one the schedule is completed, unless its kind has none. A paused one stays paused, and
    is completed when it is resumed.

    Whoever does this has accounted for what lies before the mark (see `holes.account_for_past`); the clock's auditor
    begins there.
    """
    schedule.next_fire_at = mark
    account_up_to_mark(schedule)
    if schedule.state != ScheduleState.PAUSED:
        activate(schedule)


def activate(schedule: Schedule) -> None:
    """Let it fire at its mark, whatever its state was; one that has nothing to wait for is completed."""
    is_over = schedule.next_fire_at is None and (schedule.kind not in WAITING_KINDS or schedule.remaining == 0)
    schedule.state = ScheduleState.COMPLETED if is_over else ScheduleState.ACTIVE
    schedule.state_reason, schedule.paused_until = "", None


def count_passed(schedule: Schedule, *, now: datetime, limit: int) -> list[datetime]:
    """The occurrences from the mark up to `now`, at most `limit` of them."""
    if schedule.next_fire_at is None or schedule.next_fire_at > now:
        return []
    just_before = schedule.next_fire_at - timedelta(microseconds=1)
    return [instant for instant in recurrence_of(schedule).occurrences(just_before, limit) if instant <= now]


def _calendars(schedule: Schedule) -> Mapping[UUID, Exclusions]:
    known = schedule.known_calendars
    return known if all(each in known for each in schedule.calendars) else exclusions_of(schedule.calendars)
