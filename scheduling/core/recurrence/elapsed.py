"""RRULEs of every hour or finer: INTERVAL counts elapsed time from the anchor, BY parts look at the wall clock.

Within a segment of constant offset the two views differ by a constant, so a search there is arithmetic on whole
units of wall time (`units`); the search goes from segment to segment.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from scheduling.core.recurrence.base import Recurrence
from scheduling.core.recurrence.clockface import DAY
from scheduling.core.recurrence.rule import LATEST, ONE_SECOND
from scheduling.core.recurrence.units import Units
from scheduling.core.recurrence.zones import Segment

# Ends the search of a rule whose conditions seem to agree and never do: a century, or about 15 ms of work.
_SEARCH = timedelta(days=36_525)
_MAX_JUMPS = 15_000
# A COUNT that is not used up within both bounds nothing that anyone will ask for.
_COUNT_SEARCH = 4 * _SEARCH
_MAX_COUNTED_DAYS = 40_000

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
    `offsets` is `(0,)`; 60 where an hourly rule names seconds only; else the unit itself.
    """

    anchor: datetime
    units: Units
    offsets: tuple[int, ...]
    grain: int
    until: datetime | None = None

    def first_from(self, instant: datetime) -> datetime | None:
        """The first occurrence at or after `instant`, before COUNT, UNTIL and exclusions are looked at."""
        instant = max(instant, self.anchor)
        jumps = iter(range(_MAX_JUMPS))
        for segment in self.zone.segments_from(instant):
            found = self._first_in(segment, max(segment.start, instant), jumps)
            if found is not None:
                return found
            if segment.end > instant + _SEARCH or next(jumps, None) is None:
                return None
        return None

    def nth(self, count: int) -> datetime | None:
        """The `count`-th occurrence from the anchor, from 1; None where it lies past `_MAX_COUNTED_DAYS`."""
        left = count
        for segment, day, start, end in islice(self._day_pieces(), _MAX_COUNTED_DAYS):
            grid = self._grid(segment)
            before = self._rank(start, day, grid)
            size = self._rank(end, day, grid) - before
            if left <= size:
                position, at = divmod(before + left - 1, len(self.offsets))
                first_unit = day * self.units.per_day
                unit = self.units.nth_in_day(first_unit, first_unit + self.units.per_day, grid.base, position + 1)
                return self._instant(unit, at, grid, segment)
            left -= size
        return None

    def rule_from(self, instant: datetime) -> datetime | None:
        while True:
            found = self.first_from(instant)
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

    def _first_in(self, segment: Segment, instant: datetime, jumps: Iterator[int]) -> datetime | None:
        grid = self._grid(segment)
        from_second = _seconds(instant + segment.offset)
        unit = (from_second - grid.phase) // self.units.size
        end = -((grid.phase - _seconds(segment.end + segment.offset)) // self.units.size)
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

    def _rank(self, second: int, day: int, grid: _Grid) -> int:
        """How many occurrences of a named day come before a second of it; `second` counts from day 0."""
        first_unit = day * self.units.per_day
        unit, rest = divmod(second - grid.phase, self.units.size)
        if unit < first_unit:
            return 0
        whole = self.units.count_in_day(first_unit, unit, grid.base) * len(self.offsets)
        if unit == first_unit + self.units.per_day or not self.units.count_in_day(unit, unit + 1, grid.base):
            return whole
        return whole + bisect_left(self.offsets, rest)

    def _day_pieces(self) -> Iterator[tuple[Segment, int, int, int]]:
        """From the anchor on: each named day, cut where a segment ends, as a range of seconds since day 0."""
        for segment in self.zone.segments_from(self.anchor):
            if segment.start > self.anchor + _COUNT_SEARCH:
                return
            start = _seconds(max(segment.start, self.anchor) + segment.offset)
            end = _seconds(segment.end + segment.offset)
            while start < end:
                day = start // DAY
                matching = day if self.units.days is None else self.units.days.first_from(day)
                if matching is None:
                    return
                start = max(start, matching * DAY)
                cut = min(end, (matching + 1) * DAY)
                if start < cut:
                    yield segment, matching, start, cut
                start = cut if start < cut else end


def _seconds(wall: datetime) -> int:
    """Whole seconds since day 0, rounded up."""
    return -((_ORIGIN - wall) // ONE_SECOND) + _ORIGIN_SECONDS
