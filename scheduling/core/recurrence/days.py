"""The days that a rule names, found without walking over the days it does not.

Which days of a month match depends, for every rule of cron and of RFC 5545 without its INTERVAL, only on the month,
on the weekday its year begins with, and on whether that year and its neighbours are leap years. So the days are worked
out once for each kind of month, when it is first met, and a search goes from month to month by bisection.
"""

from bisect import bisect_left
from calendar import isleap
from collections.abc import Hashable, Iterator
from datetime import date
from functools import lru_cache
from typing import Protocol

from scheduling.core.recurrence.rule import LATEST

# The calendar repeats after 400 years: a rule without a day in them has none.
_CYCLE = 401
# Of each year of the calendar's 400: the weekday it begins with, and whether it and its neighbours are leap years (the
# last days of a year may lie in the first week of the next, which BYWEEKNO counts from that year's end too); one number
# for all, with room for the month.
_YEAR_KINDS = tuple(
    (date(year, 1, 1).weekday() * 8 + isleap(year) * 4 + isleap(year - 1) * 2 + isleap(year + 1)) * 16
    for year in range(2000, 2400)
)
# The same of a year and the next, as one number.
_KINDS_FROM = tuple(kind * 1024 + _YEAR_KINDS[(year + 1) % 400] for year, kind in enumerate(_YEAR_KINDS))


def kinds_from(year: int) -> int:
    """A number that years share which agree, and whose next years agree, in the days that any rule names."""
    return _KINDS_FROM[year % 400]


@lru_cache(maxsize=8192)
def same_year_from(first: int, year: int) -> int:
    """The first year at or after `first` with the calendar of `year`: its length and its weekdays."""
    wanted = isleap(year), date(year, 1, 1).weekday()
    return next(each for each in range(first, first + 400) if (isleap(each), date(each, 1, 1).weekday()) == wanted)


class DayRule(Hashable, Protocol):
    """Says whether a date is named; equal rules share one table. `months` are the only ones to look at."""

    @property
    def months(self) -> frozenset[int]: ...

    def days_of_month(self, year: int, month: int, /) -> tuple[int, ...]:
        """The named days of one of its months, in order, counted from 0."""


class DayTable:
    """The matching days of every month, as proleptic ordinals (`date.toordinal`)."""

    def __init__(self, rule: DayRule) -> None:
        self._rule = rule
        self._months = tuple(sorted(rule.months))
        self._by_kind: dict[int, tuple[int, ...]] = {}
        self._by_year_kind: dict[int, tuple[int, ...]] = {}

    def first_from(self, ordinal: int) -> int | None:
        """The first matching day at or after `ordinal`, or None before the supported years end."""
        first = date.fromordinal(ordinal)
        if first.month in self._months:  # most often the month at hand has one
            days = self._days_of(first.year, first.month)
            at = bisect_left(days, first.day - 1)
            if at < len(days):
                return ordinal - first.day + 1 + days[at]
        for month in self._months:
            if month > first.month and (days := self._days_of(first.year, month)):
                return date(first.year, month, 1).toordinal() + days[0]
        # Whole years now: that one is empty is known of all of its kind, and most rules that are rare have few others.
        for year in range(first.year + 1, min(first.year + _CYCLE, LATEST.year)):
            if days := self.of_year(year):
                return date(year, 1, 1).toordinal() + days[0]
        return None

    def between(self, start: int, end: int) -> list[int]:
        """The matching days in [start, end), in order."""
        found: list[int] = []
        last = date.fromordinal(end - 1)
        for year, month in self._months_from(date.fromordinal(start), last.year + 1):
            if (year, month) > (last.year, last.month):
                break
            month_start = date(year, month, 1).toordinal()
            days = self._days_of(year, month)
            low, high = bisect_left(days, start - month_start), bisect_left(days, end - month_start)
            found.extend(month_start + day for day in days[low:high])
        return found

    def has(self, ordinal: int) -> bool:
        """Whether a day matches."""
        day = date.fromordinal(ordinal)
        return day.month in self._months and day.day - 1 in self._days_of(day.year, day.month)

    def of_year(self, year: int) -> tuple[int, ...]:
        """The matching days of a year, in order, counted from 0."""
        kind = _YEAR_KINDS[year % 400]
        days = self._by_year_kind.get(kind)
        if days is None:
            first = date(year, 1, 1).toordinal()
            starts = ((month, date(year, month, 1).toordinal() - first) for month in self._months)
            days = tuple(start + day for month, start in starts for day in self._days_of(year, month))
            self._by_year_kind[kind] = days
        return days

    def _months_from(self, first: date, end_year: int) -> Iterator[tuple[int, int]]:
        for month in self._months:
            if month >= first.month:
                yield first.year, month
        for year in range(first.year + 1, end_year):
            for month in self._months:
                yield year, month

    def _days_of(self, year: int, month: int) -> tuple[int, ...]:
        kind = _YEAR_KINDS[year % 400] + month
        days = self._by_kind.get(kind)
        if days is None:
            days = self._by_kind[kind] = self._rule.days_of_month(year, month)
        return days


@lru_cache(maxsize=2048)
def day_table(rule: DayRule) -> DayTable:
    """The table of a rule; equal rules get the same one."""
    return DayTable(rule)
