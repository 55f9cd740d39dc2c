"""RRULEs of every hour or finer: INTERVAL counts elapsed time from the anchor, BY parts look at the wall clock.

Within a segment of constant offset the two views differ by a constant, so a search there is arithmetic on whole
units of wall time (`units`); the search goes from segment to segment.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import islice

from scheduling.core.recurrence.base import Recurrence
from scheduling.core.recurrence.clockface import DAY
from scheduling.core.recurrence.rule import LATEST, ONE_DAY, ONE_SECOND, REACH, ScheduleError
from scheduling.core.recurrence.unit_counts import UnitCounts
from scheduling.core.recurrence.units import Units
from scheduling.core.recurrence.zones import SETTLED, Segment

# Ends the search of a rule whose conditions seem to agree and never do, or only where INTERVAL has drifted round the
# day: so many years, or so many jumps of all rules of a schedule together, 10 ms of them.
SEARCH_YEARS = 250
_SEARCH = timedelta(days=SEARCH_YEARS * 365.25)
_MAX_JUMPS = 10_000
_SEGMENT_JUMPS = 3  # what going on to the next segment costs of them
# A COUNT that is not used up within bounds nothing that anyone will ask for. Named days are looked at one by one where
# INTERVAL begins each of them differently, a century of every day and up to the year SETTLED; a century takes 10 ms.
_COUNT_SEARCH = timedelta(days=4 * 36_525)
_MAX_COUNTED_DAYS = 40_000
_YEAR = timedelta(days=366)

_ORIGIN = datetime(1, 1, 1)
_ORIGIN_SECONDS = DAY  # 1 January of the year 1 is day 1


@dataclass(frozen=True, slots=True)
class _Grid:
    """A segment's counted units: those congruent to `base`, each beginning `phase` seconds after a whole unit."""

    base: int
    phase: int


@dataclass(slots=True, kw_only=True)
class ElapsedRecurrence(Recurrence):
    """`anchor` is a naive instant; `offsets` are the seconds of a counted unit at which it occurs.

    `grain`, in seconds, is what the rule names at most: above it occurrences keep the anchor's distance whatever the
    zone does (Lord Howe moves its clocks by half an hour). It is 1 where nothing below the unit is named, then
    `offsets` is `(0,)`; 60 where an hourly rule names seconds only; else the unit itself. `lines` rules share the
    budget of a search.
    """

    anchor: datetime
    units: Units
    offsets: tuple[int, ...]
    grain: int
    lines: int = 1
    until: datetime | None = None

    @property
    def counted_from(self) -> datetime | None:
        return self.anchor

    def first_from(self, instant: datetime, end: datetime = datetime.max) -> datetime | None:
        """The first occurrence at or after `instant`, before COUNT, UNTIL and exclusions are looked at; None where 250
        years, or the time up to `end`, have none. (One soon after `end` may be found, too.)

        ScheduleError `search_too_long` where it is not found by as many jumps as a search may take.
        """
        begin = max(instant, self.anchor)
        start: datetime | None = begin
        end = min(end, min(begin, LATEST - _SEARCH) + _SEARCH)  # so that there is an instant behind it
        jumps = iter(range(_MAX_JUMPS // self.lines))
        while start is not None and start <= end:
            if sum(1 for _ in islice(jumps, _SEGMENT_JUMPS)) < _SEGMENT_JUMPS:
                raise ScheduleError(
                    "search_too_long",
                    "The next time of this rule is not found in a search of bounded length",
                    field="expression",
                    hint="INTERVAL meets these days and times very seldom; name the times, with FREQ=DAILY or longer",
                )
            segment = next(self.zone.segments_from(start), None)
            if segment is None:
                return None
            found = self._first_in(segment, max(segment.start, start), min(segment.end, end + ONE_SECOND), jumps)
            if found is not None:
                return found
            start = self._first_day_behind(segment)
        return None

    def _first_day_behind(self, segment: Segment) -> datetime | None:
        """Where to look on behind a segment: not before any occurrence of the next named day, wherever it lies."""
        if self.units.days is None:
            return segment.end
        day = self.units.days.first_from((segment.end + segment.offset - ONE_DAY).toordinal())
        return None if day is None else max(segment.end, datetime.fromordinal(day) - REACH)

    def nth(self, count: int) -> datetime | None:
        """The `count`-th occurrence from the anchor, from 1; None where it lies so far ahead that it bounds nothing."""
        if self.units.days is None and self.units.clockface is None and self.offsets == (0,) and self.grain == 1:
            seconds = (count - 1) * self.units.interval * self.units.size
            is_far = seconds >= (LATEST - self.anchor).total_seconds()
            return None if is_far else self.anchor + timedelta(seconds=seconds)
        counts, left, examined = UnitCounts(self.units), count, 0
        last = min(self.anchor, LATEST - _COUNT_SEARCH) + _COUNT_SEARCH
        for segment in _joined(self.zone.segments_from(self.anchor), last):
            grid = self._grid(segment)
            start, end = (_seconds(at + segment.offset) for at in (max(segment.start, self.anchor), segment.end))
            left += self._rank_in_day(counts, grid, start)
            for new_year, days in self._named_days(start // DAY, end // DAY):
                size = counts.of_days(grid.base, new_year, days) * len(self.offsets)
                if left <= size:
                    return self._nth_of_days(counts, grid, segment, [new_year + day for day in days], left)
                left -= size
                examined += len(days)
            rest = self._rank_in_day(counts, grid, end)
            if left <= rest:
                return self._nth_of_days(counts, grid, segment, [end // DAY], left)
            left -= rest
            is_far = examined > _MAX_COUNTED_DAYS and segment.end.year >= SETTLED
            if is_far and self.units.per_day % self.units.interval:
                return None
        return None

    @property
    def own_end(self) -> datetime | None:
        return self.until

    def rule_from(self, instant: datetime) -> datetime | None:
        return self.rule_within(instant, datetime.max)

    def rule_within(self, instant: datetime, end: datetime) -> datetime | None:
        while True:
            found = self.first_from(instant, end if self.until is None else min(self.until, end))
            if found is None or (self.until is not None and found > self.until):
                return None
            if not self._is_excluded(found):
                return found
            instant = found + ONE_SECOND

    def free_day_from(self, day: int, end_of: Callable[[int], int | None]) -> int | None:
        # Nothing is moved here, so that days in a row are passed at once.
        if self.units.days is None:
            return None
        while (following := self.units.days.first_from(day)) is not None:
            end = end_of(following)
            if end is None:
                return following
            day = end
        return LATEST.toordinal()

    def _first_in(self, segment: Segment, instant: datetime, last: datetime, jumps: Iterator[int]) -> datetime | None:
        """The first occurrence of a segment at or after `instant` and before about `last`, which lies in it."""
        grid = self._grid(segment)
        from_second = _seconds(instant + segment.offset)
        unit = (from_second - grid.phase) // self.units.size
        end = -((grid.phase - _seconds(last + segment.offset)) // self.units.size)
        while True:
            found = self.units.first_from(unit, end, grid.base, jumps)
            if found is None:
                return None
            at = bisect_left(self.offsets, from_second - found * self.units.size - grid.phase)
            if at < len(self.offsets):
                occurrence = self._instant(found, at, grid, segment)
                return occurrence if occurrence < segment.end else None
            unit = found + 1

    def _grid(self, segment: Segment) -> _Grid:
        """Whole units of wall time where all below the unit is named, else the anchor's own distance to the grain."""
        base, phase = divmod(_seconds(self.anchor + segment.offset), self.units.size)
        return _Grid(base, phase - phase % self.grain)

    def _instant(self, unit: int, at: int, grid: _Grid, segment: Segment) -> datetime:
        seconds = unit * self.units.size + grid.phase + self.offsets[at] - _ORIGIN_SECONDS
        return _ORIGIN + timedelta(seconds=seconds) - segment.offset

    def _named_days(self, start: int, end: int) -> Iterator[tuple[int, Sequence[int]]]:
        """The named days in [start, end), for each year, counted from its first."""
        for year in range(date.fromordinal(start).year, date.fromordinal(end).year + 1):
            new_year = date(year, 1, 1).toordinal()
            days = range(366) if self.units.days is None else self.units.days.of_year(year)
            low = bisect_left(days, start - new_year)
            high = bisect_left(days, min(end, date(year + 1, 1, 1).toordinal()) - new_year)
            yield new_year, days[low:high]

    def _rank_in_day(self, counts: UnitCounts, grid: _Grid, second: int) -> int:
        """How many occurrences come before a second of its day; `second` counts from day 0."""
        day, rest = divmod(second, DAY)
        unit, within = divmod(rest - grid.phase, self.units.size)
        if unit < 0 or not (self.units.days is None or self.units.days.has(day)):
            return 0
        first = counts.first_of(grid.base, day)
        at_unit = counts.before(first, unit)
        is_counted = counts.before(first, unit + 1) > at_unit
        return at_unit * len(self.offsets) + (bisect_left(self.offsets, within) if is_counted else 0)

    def _nth_of_days(self, counts: UnitCounts, grid: _Grid, segment: Segment, days: list[int], left: int) -> datetime:
        """The `left`-th occurrence, from 1, of some days that have so many."""
        for day in days:
            size = counts.of_days(grid.base, day, (0,)) * len(self.offsets)
            if left <= size:
                break
            left -= size
        rank, at = divmod(left - 1, len(self.offsets))
        unit = day * self.units.per_day + counts.nth(counts.first_of(grid.base, day), rank)
        return self._instant(unit, at, grid, segment)


def _joined(segments: Iterator[Segment], end: datetime) -> Iterator[Segment]:
    """The segments that begin by `end`, neighbours that only a new year parts as one, up to a year of them."""
    joined: Segment | None = None
    for each in segments:
        if each.start > end:
            break
        if joined is not None and joined.offset == each.offset and each.end <= joined.start + _YEAR:
            joined = replace(joined, end=each.end, after=each.after)
            continue
        if joined is not None:
            yield joined
        joined = each
    if joined is not None:
        yield joined


def _seconds(wall: datetime) -> int:
    """Whole seconds since day 0, rounded up."""
    return -((_ORIGIN - wall) // ONE_SECOND) + _ORIGIN_SECONDS
