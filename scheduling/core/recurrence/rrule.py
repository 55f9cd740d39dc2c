"""RFC 5545 RRULE: rules of days and longer expand in local wall time, finer ones follow elapsed time.

The expansion is our own: what libraries do wrong here (see `docs/reference/schedules.md`) lies in the middle of
their search, where no check in front of them reaches.
"""

from datetime import datetime
from itertools import product
from math import gcd
from typing import cast

from scheduling.core.recurrence.base import Recurrence, WallRecurrence
from scheduling.core.recurrence.clockface import Clockface
from scheduling.core.recurrence.context import Context
from scheduling.core.recurrence.counts import Counts
from scheduling.core.recurrence.days import day_table
from scheduling.core.recurrence.elapsed import SEARCH_YEARS, ElapsedRecurrence
from scheduling.core.recurrence.patterns import DayPattern, Pattern, PositionPattern
from scheduling.core.recurrence.periods import Periods, Unit
from scheduling.core.recurrence.rrule_days import days_of, is_every_day
from scheduling.core.recurrence.rrule_parts import SUB_DAILY, Parts, parse_parts
from scheduling.core.recurrence.rrule_sentence import describe
from scheduling.core.recurrence.rule import ScheduleError
from scheduling.core.recurrence.units import Units
from scheduling.core.recurrence.zones import Zone

_UNIT_SECONDS = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}


def compile_rrule(expression: str, context: Context) -> Recurrence:
    """Read and compile a rule, or raise ScheduleError `invalid_rrule` or `never_occurs`."""
    parts = parse_parts(expression)
    sentence = describe(parts, context.anchor, context.zone.name, is_doubled=context.fold == "both")
    if parts.freq in SUB_DAILY:
        return _compile_elapsed(parts, context, sentence)
    return _compile_wall(parts, context, sentence)


def _compile_wall(parts: Parts, context: Context, sentence: str) -> WallRecurrence:
    anchor = context.anchor
    if not _counts_a_named_one(parts, anchor):
        _refuse_impossible(parts)
    days = day_table(days_of(parts, anchor.date()))
    clockface = Clockface(
        parts.by_hour or (anchor.hour,), parts.by_minute or (anchor.minute,), parts.by_second or (anchor.second,)
    )
    periods = Periods(cast(Unit, parts.freq), parts.interval, anchor.toordinal(), parts.week_start)
    counts = Counts(
        anchor=anchor,
        days=days,
        clockface=clockface,
        periods=periods,
        positions=parts.by_position,
        # What does not exist and is not moved is not counted (RFC 5545 3.3.10).
        skips=context.zone if context.gap == "skip" else None,
    )
    pattern: Pattern
    if parts.by_position:
        # Before a search through all periods for a place that none has.
        if not counts.has_any():
            _refuse_impossible(parts)
        pattern = PositionPattern(anchor, days, clockface, periods, parts.by_position)
    else:
        pattern = DayPattern(anchor, days, clockface, periods if parts.interval > 1 else None)
    if pattern.next_from(anchor) is None:
        _refuse_impossible(parts)
    last = None if parts.until_is_utc else parts.until
    if parts.count is not None:
        last = counts.nth(parts.count)
    return WallRecurrence(
        zone=context.zone,
        sentence=sentence,
        ends_at=context.ends_at,
        added=context.added,
        is_finite=parts.is_finite,
        pattern=pattern,
        last=last,
        gap=context.gap,
        fold=context.fold,
        until=parts.until if parts.until_is_utc else None,
        excluded=context.excluded,
    )


def _compile_elapsed(parts: Parts, context: Context, sentence: str) -> ElapsedRecurrence:
    anchor = context.anchor_instant
    offsets, grain = _offsets(parts, anchor + context.zone.offset_at(anchor))
    recurrence = ElapsedRecurrence(
        zone=context.zone,
        sentence=sentence,
        ends_at=context.ends_at,
        added=context.added,
        anchor=anchor,
        units=Units(
            size=_UNIT_SECONDS[parts.freq],
            interval=parts.interval,
            days=None if is_every_day(parts) else day_table(days_of(parts, context.anchor.date())),
            weekdays=_weekdays(parts),
            clockface=_unit_clockface(parts),
        ),
        offsets=offsets,
        grain=grain,
        lines=context.lines,
        excluded=context.excluded,
        is_finite=parts.is_finite,
    )
    days = recurrence.units.days
    has_days = days is None or days.first_from(context.anchor.toordinal()) is not None
    if not (offsets and has_days):
        _refuse_impossible(parts)
    if recurrence.first_from(anchor) is None:
        _refuse_impossible(parts, f"This rule does not occur in the {SEARCH_YEARS} years after it begins")
    recurrence.until = _last_instant(parts, recurrence, context.zone)
    return recurrence


def _counts_a_named_one(parts: Parts, anchor: datetime) -> bool:
    """False where INTERVAL steps over the weekdays or months that are named, for ever: every 14th day from a Monday on,
    on Tuesdays."""
    if parts.freq == "DAILY":
        shared = gcd(parts.interval, 7)
        return any((weekday - anchor.weekday()) % shared == 0 for weekday in _weekdays(parts))
    if parts.freq == "MONTHLY" and parts.by_month:
        shared = gcd(parts.interval, 12)
        return any((month - anchor.month) % shared == 0 for month in parts.by_month)
    return True


def _weekdays(parts: Parts) -> frozenset[int]:
    """The weekdays, 0 for Monday, that any of the days can have."""
    return frozenset(weekday for weekday, _ in parts.by_day) or frozenset(range(7))


def _offsets(parts: Parts, anchor: datetime) -> tuple[tuple[int, ...], int]:
    """The seconds of each unit at which the rule occurs, BYSETPOS applied, and their grain (see ElapsedRecurrence)."""
    minutes = parts.by_minute if parts.freq == "HOURLY" else ()
    seconds = parts.by_second if parts.freq != "SECONDLY" else ()
    if not (minutes or seconds):
        offsets, grain = [0], 1
    else:
        # Seconds alone are named within the anchor's own minute, which half an hour of summer time moves.
        offsets = [minute * 60 + second for minute, second in product(minutes or (0,), seconds or (anchor.second,))]
        grain = _UNIT_SECONDS[parts.freq] if minutes else 60
    if parts.by_position:
        kept = {at - 1 if at > 0 else len(offsets) + at for at in parts.by_position}
        offsets = [offset for rank, offset in enumerate(offsets) if rank in kept]
    return tuple(offsets), grain


def _unit_clockface(parts: Parts) -> Clockface | None:
    """The times of day that limit which units occur, or None where all do."""
    has_minutes, has_seconds = parts.freq != "HOURLY", parts.freq == "SECONDLY"
    if not (parts.by_hour or (has_minutes and parts.by_minute) or (has_seconds and parts.by_second)):
        return None
    return Clockface(
        parts.by_hour or range(24),
        (parts.by_minute or range(60)) if has_minutes else (0,),
        (parts.by_second or range(60)) if has_seconds else (0,),
    )


def _last_instant(parts: Parts, recurrence: ElapsedRecurrence, zone: Zone) -> datetime | None:
    if parts.count is not None:
        return recurrence.nth(parts.count)
    if parts.until is None or parts.until_is_utc:
        return parts.until
    return zone.resolve(parts.until, gap="next", fold="second")[0]


def _refuse_impossible(parts: Parts, detail: str = "This rule never occurs") -> None:
    hint = "Check that the days exist and that INTERVAL reaches them from starts_at"
    if 30 in parts.by_month_day or 31 in parts.by_month_day:
        hint = "BYMONTHDAY=-1 is the last day of a month"
    raise ScheduleError("never_occurs", detail, field="expression", hint=hint)
