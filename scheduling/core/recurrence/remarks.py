"""What a reader should know about the occurrences of a stretch of time: moved, doubled, left out."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice

from scheduling.core.recurrence import compile_rule, context_of
from scheduling.core.recurrence.base import Recurrence, shown
from scheduling.core.recurrence.context import Context
from scheduling.core.recurrence.rule import LATEST, ONE_DAY, Rule
from scheduling.core.recurrence.zones import Segment

# Of the times that one change of the clocks moves or doubles so many are named and so many counted.
_NAMED_OF_A_CHANGE = 3
_COUNTED_OF_A_CHANGE = 1_000
# Of all changes of a stretch so many sentences are made, and so many times looked at: 10,000 occurrences that come once
# a year have 16,000 changes between them.
_MOST_SENTENCES = 200
_MOST_LOOKED_AT = 5_000
_NAMED_EXCLUSIONS = 10
_MOST_JUDGED = 10  # exclusions of times that do not exist, each a rule to be compiled
_NOTHING = timedelta()
_FOLD_WORDS = {"first": "once, the first time", "second": "once, the second time", "both": "both times"}


def remarks(rule: Rule, *, start: datetime, end: datetime | None) -> list[str]:
    """Sentences about what occurs after `start` and not after `end`, aware instants, or would if nothing left it out.

    `end` None: the schedule has nothing more after `start`, and what was taken from it until its end is told. Raises
    ScheduleError where the rule is not valid.
    """
    recurrence, context = compile_rule(rule), context_of(rule)
    low = _naive(start)
    if end is None:
        own_end = recurrence.own_end
        if own_end is not None and rule.rdates:  # additions go on where the rule has ended
            own_end = max(own_end, max(rule.rdates) + ONE_DAY)
        ends = [at for at in (recurrence.ends_at, own_end) if at is not None]
        if not ends:
            return _exclusion_remarks(rule, context, low, LATEST)
        high = min(ends)
    else:
        high = _naive(end)
    return [
        *_anchor_remarks(recurrence, context, low, high),
        *_clock_remarks(rule, recurrence, context, low, high),
        *_exclusion_remarks(rule, context, low, high),
        *recurrence.calendar_remarks(low, high),
    ]


def _anchor_remarks(recurrence: Recurrence, context: Context, start: datetime, end: datetime) -> Iterator[str]:
    """What became of a `starts_at` from which elapsed time is counted, where no instant or two are called so."""
    at = recurrence.counted_from
    if at is None or not start < at <= end:
        return
    zone, called = context.zone, f"starts_at, {shown(context.anchor)},"
    meant = len(zone.resolve(context.anchor, gap="skip", fold="both"))
    if meant == 0:
        moved = shown(at + zone.offset_at(at))
        yield f"{called} does not exist in {zone.name} (clocks go forward): it is counted from {moved}."
    elif meant > 1:
        which = "second" if context.fold == "second" else "first"
        yield f"{called} comes twice in {zone.name} (clocks go back): it is counted from the {which} time."


def _clock_remarks(
    rule: Rule, recurrence: Recurrence, context: Context, start: datetime, end: datetime
) -> Iterator[str]:
    added = sorted({wall.replace(microsecond=0) for wall in rule.rdates} - context.excluded)
    sentences = looked_at = 0
    upcoming = datetime.min  # the rule's first wall time from the present change on: a search for each would be dear
    for segment in context.zone.segments_from(start - ONE_DAY):
        # What comes twice comes for the first time before the clocks go back.
        if segment.start - max(segment.before - segment.offset, _NOTHING) > end:
            return
        if segment.before == segment.offset:
            continue
        low, high = sorted((segment.start + segment.before, segment.start + segment.offset))
        if upcoming < low:
            upcoming = next(iter(recurrence.walls_in(low, max(high, end + ONE_DAY))), LATEST)
        added_here = added[bisect_left(added, low) : bisect_left(added, high)]
        if upcoming >= high and not added_here:
            continue
        if sentences >= _MOST_SENTENCES or looked_at >= _MOST_LOOKED_AT:
            yield f"What the clocks do to its times from {low:%Y-%m-%d} on is not noted here."
            return
        walls = dict.fromkeys(islice(merge(recurrence.walls_in(low, high), added_here), _COUNTED_OF_A_CHANGE + 1))
        looked_at += len(walls)
        concerned = [wall for wall in walls if _is_concerned(wall, segment, context, start, end)]
        sentences += min(len(concerned), _NAMED_OF_A_CHANGE + 1)
        is_gap = segment.before < segment.offset
        for wall in concerned[:_NAMED_OF_A_CHANGE]:
            yield _of_gap(wall, context) if is_gap else _of_fold(wall, context)
        more = len(concerned) - _NAMED_OF_A_CHANGE
        if more > 0:
            counted = f"at least {more}" if len(concerned) > _COUNTED_OF_A_CHANGE else str(more)
            yield _of_more(counted, low, context, is_gap=is_gap)


def _is_concerned(wall: datetime, segment: Segment, context: Context, start: datetime, end: datetime) -> bool:
    """True where the instants that a wall time becomes lie in the stretch; what becomes none counts at the change."""
    instants = context.zone.resolve(wall, gap=context.gap, fold=context.fold)
    if not instants:
        return start < segment.start <= end
    return any(start < at <= end and not context.excludes(at) for at in instants)


def _of_gap(wall: datetime, context: Context) -> str:
    instants = context.zone.resolve(wall, gap=context.gap, fold=context.fold)
    moved = f"it is moved to {shown(instants[0] + context.zone.offset_at(instants[0]))}" if instants else ""
    zone = context.zone.name
    return (
        f"{shown(wall)} does not exist in {zone} (clocks go forward): {moved or 'it is left out'} (gap: {context.gap})."
    )


def _of_fold(wall: datetime, context: Context) -> str:
    times = _FOLD_WORDS[context.fold]
    zone = context.zone.name
    return f"{shown(wall)} comes twice in {zone} (clocks go back): it occurs {times} (fold: {context.fold})."


def _of_more(counted: str, change: datetime, context: Context, *, is_gap: bool) -> str:
    if is_gap:
        outcome = "are left out" if context.gap == "skip" else "are moved"
        return f"And {counted} more times of {change:%Y-%m-%d} that do not exist {outcome} (gap: {context.gap})."
    times = _FOLD_WORDS[context.fold]
    return f"And {counted} more times of {change:%Y-%m-%d} that come twice occur {times} (fold: {context.fold})."


def _exclusion_remarks(rule: Rule, context: Context, start: datetime, end: datetime) -> list[str]:
    taken: list[datetime] = []
    judged = 0
    for wall in _near(context, start, end):
        # Whether one in a gap takes anything away is found out by the rule with this exclusion alone.
        judged += not context.zone.resolve(wall, gap="skip", fold="both")
        if judged > _MOST_JUDGED:
            break
        if _takes_away(wall, rule, context, start, end):
            taken.append(wall)
    words = [f"{shown(wall)} is excluded." for wall in taken[:_NAMED_EXCLUSIONS]]
    more = len(taken) - _NAMED_EXCLUSIONS
    if more > 0:
        words.append(f"And {more} more are excluded.")
    if judged > _MOST_JUDGED:
        words.append(f"What is excluded from {wall:%Y-%m-%d} on is not noted here.")
    return words


def _near(context: Context, start: datetime, end: datetime) -> list[datetime]:
    """The exclusions that may matter to a stretch: a wall time is no further than two days from its instant."""
    return [wall for wall in sorted(context.excluded) if start - wall < 2 * ONE_DAY and wall - end < 2 * ONE_DAY]


def _takes_away(wall: datetime, rule: Rule, context: Context, start: datetime, end: datetime) -> bool:
    """True where the schedule without its exclusions has an instant in the stretch that this one alone takes away."""
    at_local_time = context.zone.resolve(wall, gap="skip", fold="both")
    instants = {*at_local_time, *context.zone.resolve(wall, gap="shift", fold="both")}
    instants |= set(context.zone.resolve(wall, gap="next", fold="both"))
    free = compile_rule(replace(rule, exdates=(), calendars=()))
    named = [at for at in instants if start < at <= end and free.names(at)]
    if not named or at_local_time:
        return bool(named)
    alone = compile_rule.__wrapped__(replace(rule, exdates=(wall,), calendars=()))  # not kept: nobody asks again
    return any(not alone.names(at) for at in named)


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
