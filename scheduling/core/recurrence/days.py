"""The days that a rule names, found without walking over the days it does not.

Which days of a year match depends, for every rule of cron and of RFC 5545 without its INTERVAL, only on the weekday
the year begins with and on whether it and the year before are leap years: at most 28 kinds of year. So the days are
worked out once for each kind, and a search goes from year to year by bisection.
"""

from bisect import bisect_left
from calendar import isleap
from collections.abc import Hashable, Iterator
from datetime import date
from functools import lru_cache
from typing import Protocol

from scheduling.core.recurrence.rule import LATEST


class DayRule(Hashable, Protocol):
    """Says whether a date is named; equal rules share one table."""

    def matches(self, day: date, /) -> bool: ...


class DayTable:
    """The matching days of every year, as proleptic ordinals (`date.toordinal`)."""

    def __init__(self, rule: DayRule) -> None:
        self._rule = rule
        self._by_kind: dict[tuple[int, bool, bool], tuple[int, ...]] = {}

    def first_from(self, ordinal: int) -> int | None:
        """The first matching day at or after `ordinal`, or None before the supported years end."""
        first_year = date.fromordinal(ordinal).year
        for year in range(first_year, min(first_year + 400, LATEST.year)):
            new_year = date(year, 1, 1).toordinal()
            days = self._days_of(year)
            at = bisect_left(days, ordinal - new_year)
            if at < len(days):
                return new_year + days[at]
        return None

    def between(self, start: int, end: int) -> list[int]:
        """The matching days in [start, end), in order."""
        found: list[int] = []
        for year in range(date.fromordinal(start).year, date.fromordinal(end - 1).year + 1):
            new_year = date(year, 1, 1).toordinal()
            days = self._days_of(year)
            slice_ = days[bisect_left(days, start - new_year) : bisect_left(days, end - new_year)]
            found.extend(new_year + day for day in slice_)
        return found

    def years_from(self, ordinal: int) -> Iterator[list[int]]:
        """The matching days from `ordinal` on, a list for each year."""
        for year in range(date.fromordinal(ordinal).year, LATEST.year):
            yield self.between(max(ordinal, date(year, 1, 1).toordinal()), date(year + 1, 1, 1).toordinal())

    def _days_of(self, year: int) -> tuple[int, ...]:
        kind = (date(year, 1, 1).weekday(), isleap(year), isleap(year - 1))
        days = self._by_kind.get(kind)
        if days is None:
            days = self._by_kind[kind] = self._work_out(year)
        return days

    def _work_out(self, year: int) -> tuple[int, ...]:
        new_year = date(year, 1, 1).toordinal()
        matches = self._rule.matches
        return tuple(day for day in range(365 + isleap(year)) if matches(date.fromordinal(new_year + day)))


@lru_cache(maxsize=2048)
def day_table(rule: DayRule) -> DayTable:
    """The table of a rule; equal rules get the same one."""
    return DayTable(rule)
