"""How close two occurrences of a schedule come, by looking at a bounded number of them.

An exact answer would need the whole set. What is looked at: up to 400 occurrences of the next 400 days, up to 60 in
each of the next twelve months, the same of each rule where there are several, up to 200 around each change of the
clocks of the next two years, and every added time and the first occurrences of each rule with the occurrences of the
whole before and after them. So a rule that runs fast in one month of the year only is found out, the answer is the same
in every season, and a rule that costs most, whose occurrences lie centuries apart, is asked a few times only.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from scheduling.core.recurrence.base import Recurrence
from scheduling.core.recurrence.union import UnionRecurrence

_FIRST_LOOK = (400, timedelta(days=400))
_LATER_LOOK = (60, timedelta(days=31))
_MONTHS = 12
_AT_A_CHANGE = 200
_CHANGES_WITHIN = timedelta(days=731)
_SMALLEST = timedelta(microseconds=1)
_RARE = 20


class Neighbours(NamedTuple):
    """Two occurrences, aware UTC."""

    former: datetime
    latter: datetime

    @property
    def distance(self) -> timedelta:
        return self.latter - self.former


def comes_closer(recurrence: Recurrence, *, than: timedelta, after: datetime) -> Neighbours | None:
    """The first two occurrences found after an aware instant whose distance is below `than`, or None."""
    return next((found for found in _neighbours(recurrence, than, after) if found.distance < than), None)


def _neighbours(recurrence: Recurrence, than: timedelta, after: datetime) -> Iterator[Neighbours]:
    end = None if recurrence.ends_at is None else recurrence.ends_at.replace(tzinfo=UTC)
    members = recurrence.members if isinstance(recurrence, UnionRecurrence) else ()
    for each in (recurrence, *members):
        # Counted from the first occurrence: a rule that begins in years is looked at from then on.
        first = each.next_after(after)
        if first is None:
            continue
        begin = first - _SMALLEST
        yield from _in_stretch(each, begin, end, *_FIRST_LOOK)
        for month in range(_MONTHS):
            yield from _in_stretch(each, begin + month * _LATER_LOOK[1], end, *_LATER_LOOK)
    yield from _at_changes(recurrence, than, after, end)
    added = [naive.replace(tzinfo=UTC) for naive in recurrence.added]
    # What is rare among much that is frequent: the first look may not reach it.
    rare = [at for each in members for at in each.occurrences(after, _RARE) if end is None or at <= end]
    yield from _around(recurrence, [*added, *rare], than, after)


def _in_stretch(
    recurrence: Recurrence, after: datetime, end: datetime | None, limit: int, length: timedelta
) -> Iterator[Neighbours]:
    former = recurrence.next_after(after)
    for _ in range(limit):
        if former is None or former - after > length:
            return
        following = recurrence.next_after(former)
        if following is None or (end is not None and following > end):
            return
        yield Neighbours(former, following)
        former = following


def _at_changes(recurrence: Recurrence, than: timedelta, after: datetime, end: datetime | None) -> Iterator[Neighbours]:
    """Where the clocks move an occurrence, or repeat its time, it may come close to another of the same rule."""
    first = recurrence.next_after(after)
    if first is None:
        return
    begin = first.astimezone(UTC).replace(tzinfo=None)
    for segment in recurrence.zone.segments_from(begin):
        if segment.start - begin > _CHANGES_WITHIN:
            return
        if segment.before != segment.offset and segment.start > begin:
            start = max(after, segment.start.replace(tzinfo=UTC) - than - _SMALLEST)
            length = 2 * than + abs(segment.offset - segment.before)
            yield from _in_stretch(recurrence, start, end, _AT_A_CHANGE, length)


def _around(
    recurrence: Recurrence, points: Iterable[datetime], than: timedelta, after: datetime
) -> Iterator[Neighbours]:
    """From each of these occurrences to its neighbours, where they are nearer than `than`."""
    for point in points:
        if point <= after:
            continue
        for start in (max(after, point - than), point):
            neighbour = recurrence.next_after(start)
            if neighbour is not None and neighbour != point:
                yield Neighbours(min(point, neighbour), max(point, neighbour))
