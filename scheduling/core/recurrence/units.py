"""Counted units: hours, minutes or seconds of wall time, taken every INTERVAL-th, on named days at named times.

Units are integers since day 0 (`date.toordinal`), so that `unit // per_day` is a day. `base` is any counted unit;
the others are congruent to it. A search goes round three conditions (day, interval, time of day), each of which can
jump to its next candidate, and draws every jump from the caller's budget.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import gcd

from scheduling.core.recurrence.clockface import DAY, Clockface
from scheduling.core.recurrence.days import DayTable

# Up to so many times of day the days that INTERVAL can reach are listed; with more of them a search finds them soon.
_MAX_LISTED_TIMES = 4000
_WEEK = 7


@dataclass(slots=True, kw_only=True)
class Units:
    """Units of `size` seconds. `days` None is every day, `clockface` None every time of day.

    `weekdays`, 0 for Monday, are those that any of the days can have.
    """

    size: int
    interval: int
    days: DayTable | None
    weekdays: frozenset[int]
    clockface: Clockface | None
    per_day: int = field(init=False)
    _possible: dict[int, bool] = field(default_factory=dict, init=False, repr=False)
    _reached: dict[int, "_DayCycle | None"] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.per_day = DAY // self.size

    def first_from(self, unit: int, end: int, base: int, jumps: Iterator[int]) -> int | None:
        """The first counted unit in [unit, end); None when there is none or the budget of jumps is spent."""
        if not self._is_possible(base):
            return None
        for _ in jumps:
            day = unit // self.per_day
            matching = day if self.days is None else self.days.first_from(day)
            if matching is None:
                return None
            cycle = self._day_cycle(base)
            reached = matching if cycle is None else cycle.first_from(matching)
            unit = max(unit, reached * self.per_day)
            if reached != matching:
                if unit >= end:
                    return None
                continue
            aligned = unit + (base - unit) % self.interval
            if aligned >= end:
                return None
            if aligned // self.per_day == matching:
                found = self._first_in_day(aligned, base, jumps)
                if found is not None:
                    return found if found < end else None
                aligned = (matching + 1) * self.per_day
            unit = aligned
        return None

    def _first_in_day(self, aligned: int, base: int, jumps: Iterator[int]) -> int | None:
        """The first counted unit from an aligned one on, within its day."""
        if self.clockface is None:
            return aligned
        day_start = aligned - aligned % self.per_day
        for _ in jumps:
            second = self.clockface.first_from((aligned - day_start) * self.size)
            if second is None:
                return None
            unit = day_start + second // self.size
            if unit == aligned:
                return unit
            aligned = unit + (base - unit) % self.interval
            if aligned >= day_start + self.per_day:
                return None
        return None

    def _day_cycle(self, base: int) -> "_DayCycle | None":
        """The days on which a counted unit meets a time of day; None where that need not be known."""
        if self.clockface is None or self.interval == 1 or self.clockface.size > _MAX_LISTED_TIMES:
            return None
        residue = base % self.interval
        if residue not in self._reached:
            times = [self.clockface.at(rank) // self.size for rank in range(self.clockface.size)]
            self._reached[residue] = _cycle_of(times, residue, self.interval, self.per_day)
        return self._reached[residue]

    def _is_possible(self, base: int) -> bool:
        """False where INTERVAL never meets the times of day, or the weekdays: every second hour from midnight, at three
        o'clock; every 168th from a Monday on, on Tuesdays.

        Counted units keep their remainder modulo what the interval shares with the week; some time must have it too.
        """
        modulus = gcd(self.interval, _WEEK * self.per_day)
        residue = base % modulus
        if residue not in self._possible:
            # Day 1 is a Monday. Where the remainder is the same on each day, one of them speaks for all.
            days = [weekday + 1 for weekday in self.weekdays] if self.per_day % modulus else [0]
            self._possible[residue] = any(
                self._has_time((residue - day * self.per_day) % modulus, modulus) for day in days
            )
        return self._possible[residue]

    def _has_time(self, residue: int, modulus: int) -> bool:
        """True where some unit of a day is congruent to `residue` and its time is named."""
        if self.clockface is None:
            return residue < self.per_day
        return self.clockface.has_residue(residue * self.size, modulus * self.size)


@dataclass(frozen=True, slots=True)
class _DayCycle:
    """Days that come again after `length` days: those whose remainder is in `days`, sorted and not empty."""

    length: int
    days: "array[int]"

    def first_from(self, day: int) -> int:
        remainder = day % self.length
        at = bisect_left(self.days, remainder)
        following = self.days[at] if at < len(self.days) else self.days[0] + self.length
        return day - remainder + following


def _cycle_of(times: list[int], residue: int, interval: int, per_day: int) -> _DayCycle | None:
    """The days `d` of which `d * per_day + time` has the residue for one of the times; None where all or none do."""
    shared = gcd(interval, per_day)
    length = interval // shared
    inverse = pow(per_day // shared, -1, length) if length > 1 else 0
    days = {(residue - time) // shared * inverse % length for time in times if (residue - time) % shared == 0}
    return _DayCycle(length, array("q", sorted(days))) if 0 < len(days) < length else None
