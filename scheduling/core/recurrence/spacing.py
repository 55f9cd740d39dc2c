"""How close two occurrences of a schedule come, by looking at a bounded number of them.

An exact answer would need the whole set. What is looked at: up to 400 occurrences of the next 400 days, up to 60 in
each of the next twelve months, the same of each rule where there are several, and every added time with the occurrence
before and after it. So a rule that runs fast in one month of the year only is found out, and a rule that costs most,
whose occurrences lie centuries apart, is asked a few times only.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from scheduling.core.recurrence.base import Recurrence
from scheduling.core.recurrence.union import UnionRecurrence

_FIRST_LOOK = (400, timedelta(days=400))
_LATER_LOOK = (60, timedelta(days=31))
_MONTHS = 12


def comes_closer(recurrence: Recurrence, *, than: timedelta, after: datetime) -> timedelta | None:
    """The first distance below `than` that is found between two occurrences after an aware instant, or None."""
    return next((distance for distance in _distances(recurrence, than, after) if distance < than), None)


def _distances(recurrence: Recurrence, than: timedelta, after: datetime) -> Iterator[timedelta]:
    yield from _of_additions(recurrence, than, after)
    end = None if recurrence.ends_at is None else recurrence.ends_at.replace(tzinfo=UTC)
    members = recurrence.members if isinstance(recurrence, UnionRecurrence) else ()
    for each in (recurrence, *members):
        yield from _in_stretch(each, after, end, *_FIRST_LOOK)
        for month in range(_MONTHS):
            yield from _in_stretch(each, after + month * _LATER_LOOK[1], end, *_LATER_LOOK)


def _in_stretch(
    recurrence: Recurrence, after: datetime, end: datetime | None, limit: int, length: timedelta
) -> Iterator[timedelta]:
    former = recurrence.next_after(after)
    for _ in range(limit):
        if former is None or former - after > length:
            return
        following = recurrence.next_after(former)
        if following is None or (end is not None and following > end):
            return
        yield following - former
        former = following


def _of_additions(recurrence: Recurrence, than: timedelta, after: datetime) -> Iterator[timedelta]:
    for naive in recurrence.added:
        added = naive.replace(tzinfo=UTC)
        if added <= after:
            continue
        for start in (max(after, added - than), added):
            neighbour = recurrence.next_after(start)
            if neighbour is not None and neighbour != added:
                yield abs(neighbour - added)
