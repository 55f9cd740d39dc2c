"""Patterns: endless sets of naive wall times, searched by jumps. They know days and times of day, not zones.

A pattern is a product: days (a filter and counted periods) and times of day. `next_from` alternates between the two
conditions on days, each of which can jump; the number of jumps is bounded, so a search that finds nothing ends.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from scheduling.core.recurrence.clockface import Clockface
from scheduling.core.recurrence.days import DayTable
from scheduling.core.recurrence.periods import Periods
from scheduling.core.recurrence.rule import ONE_SECOND

# Rules of calendars that do have an occurrence find it within a few hundred jumps (29 February on a Monday, every
# second year); those that only seem to end here, or where days and counted periods have come round.
MAX_JUMPS = 10_000
# What a thousand years do not have is not waited for.
_SEARCH_DAYS = 365_243


class Pattern(Protocol):
    def next_from(self, wall: datetime, /) -> datetime | None:
        """The first wall time at or after `wall`; None when there is none."""


@dataclass(frozen=True, slots=True)
class DayPattern:
    """Times of day on matching days of counted periods, from `anchor` on."""

    anchor: datetime
    days: DayTable
    clockface: Clockface
    periods: Periods | None = None

    def next_from(self, wall: datetime) -> datetime | None:
        wall = max(wall, self.anchor)
        second = second_of_day(wall) + (1 if wall.microsecond else 0)
        time = self.clockface.first_from(second)
        today = wall.toordinal()
        day = self.next_day(today if time is not None else today + 1)
        if day is None:
            return None
        return at_second(day, time if day == today and time is not None else self.clockface.first)

    def next_day(self, day: int) -> int | None:
        if self.periods is None:
            return self.days.first_from(day)
        end = day + min(self.periods.cycle, _SEARCH_DAYS)
        for _ in range(MAX_JUMPS):
            matching = self.days.first_from(day)
            if matching is None or matching > end:
                return None
            counted = self.periods.first_from(matching)
            if counted is None or counted == matching:
                return counted
            day = counted
        return None


@dataclass(frozen=True, slots=True)
class PositionPattern:
    """BYSETPOS: of all wall times of each whole period only those at some positions, from `anchor` on."""

    anchor: datetime
    days: DayTable
    clockface: Clockface
    periods: Periods
    positions: tuple[int, ...]

    def next_from(self, wall: datetime) -> datetime | None:
        wall = max(wall, self.anchor)
        begin = self.periods.bounds(wall.toordinal())[0]
        day: int | None = begin
        for _ in range(MAX_JUMPS):
            day = self._next_matching(day)
            if day is None or day - begin > min(self.periods.cycle, _SEARCH_DAYS):
                return None
            start, end = self.periods.bounds(day)
            chosen = self._chosen(self.days.between(start, end))
            at = bisect_left(chosen, wall)
            if at < len(chosen):
                return chosen[at]
            day = end
        return None

    def _next_matching(self, day: int | None) -> int | None:
        """A matching day of the first counted period, at or after the one that begins with `day`, that has any."""
        for _ in range(MAX_JUMPS):
            matching = None if day is None else self.days.first_from(day)
            if matching is None:
                return None
            day = self.periods.first_from(matching)
            if day == matching:
                return matching
        return None

    def _chosen(self, days: list[int]) -> list[datetime]:
        return [
            at_second(days[rank // self.clockface.size], self.clockface.at(rank % self.clockface.size))
            for rank in ranks_at(self.positions, len(days) * self.clockface.size)
        ]


@dataclass(frozen=True, slots=True)
class BoundedPattern:
    """Another pattern without its exclusions and without what comes after `last`."""

    pattern: Pattern
    excluded: frozenset[datetime]
    last: datetime | None

    def next_from(self, wall: datetime) -> datetime | None:
        found = self.pattern.next_from(wall)
        while found is not None and found in self.excluded:
            found = self.pattern.next_from(found + ONE_SECOND)
        return None if found is None or (self.last is not None and found > self.last) else found


def ranks_at(positions: tuple[int, ...], total: int) -> list[int]:
    """The places, from 0 and in order, that BYSETPOS chooses of so many."""
    return sorted({rank for at in positions if 0 <= (rank := at - 1 if at > 0 else total + at) < total})


def second_of_day(wall: datetime) -> int:
    return wall.hour * 3600 + wall.minute * 60 + wall.second


def at_second(day: int, second: int) -> datetime:
    return datetime.fromordinal(day) + timedelta(seconds=second)
