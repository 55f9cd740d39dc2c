"""The named days of a month, held to a slow check of each date by the words of RFC 5545 3.3.10."""

from calendar import isleap, monthrange
from datetime import date, timedelta
from functools import lru_cache

import pytest

from scheduling.core.recurrence.days import DayTable
from scheduling.core.recurrence.rrule_days import days_of
from scheduling.core.recurrence.rrule_parts import Parts, parse_parts

ANCHOR = date(2024, 1, 31)

# Years that begin with different weekdays, leap years, years after one, and a century without a leap day.
YEARS = (1999, 2000, 2001, 2004, 2009, 2010, 2012, 2020, 2100, 2101)

RULES = (
    "FREQ=DAILY",
    "FREQ=DAILY;BYDAY=TU,SA;BYMONTH=2,3",
    "FREQ=DAILY;BYMONTHDAY=1,-1,31,-31",
    "FREQ=WEEKLY",
    "FREQ=MONTHLY;BYDAY=1MO,-1MO,WE",
    "FREQ=MONTHLY;BYDAY=5FR,-5FR,-2TU",
    "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
    "FREQ=YEARLY;BYDAY=1MO,20TU,-1SU,53WE,-53TH",
    "FREQ=YEARLY;BYMONTH=2,11;BYDAY=4TH,-1MO",
    "FREQ=YEARLY;BYYEARDAY=1,60,100,366,-1,-366,-306",
    "FREQ=YEARLY;BYWEEKNO=1,20,53,-1;BYDAY=MO,SU",
    "FREQ=YEARLY;BYWEEKNO=1,52,53;WKST=SU",
    "FREQ=YEARLY;BYWEEKNO=1,-53;BYDAY=SA;WKST=WE",
    "FREQ=HOURLY;BYYEARDAY=-1,200;BYDAY=MO,TU",
)


@lru_cache(maxsize=len(YEARS))
def days_of_year(year: int) -> list[date]:
    return [date(year, 1, 1) + timedelta(days=at) for at in range(365 + isleap(year))]


def week_of(day: date, week_start: int) -> tuple[int, int]:
    """The week that a day lies in, and how many its year has: a week belongs to the year that has four of its days."""

    def first_of(year: int) -> date:
        fourth = date(year, 1, 4)  # it lies in week 1 whatever day the week begins with
        return fourth - timedelta(days=(fourth.weekday() - week_start) % 7)

    year = max(each for each in (day.year - 1, day.year, day.year + 1) if first_of(each) <= day)
    return (day - first_of(year)).days // 7 + 1, (first_of(year + 1) - first_of(year)).days // 7


def is_named(parts: Parts, day: date) -> bool:
    """The same question about one date, answered by counting."""
    year = days_of_year(day.year)
    month = [each for each in year if each.month == day.month]
    checks = []
    if parts.by_month:
        checks.append(day.month in parts.by_month)
    if parts.by_month_day:
        checks.append(bool({day.day, day.day - len(month) - 1} & set(parts.by_month_day)))
    if parts.by_year_day:
        at = year.index(day)
        checks.append(bool({at + 1, at - len(year)} & set(parts.by_year_day)))
    if parts.by_week:
        number, count = week_of(day, parts.week_start)
        checks.append(bool({number, number - count - 1} & set(parts.by_week)))
    if parts.by_day:
        span = year if parts.freq == "YEARLY" and not parts.by_month else month
        same = [each for each in span if each.weekday() == day.weekday()]
        rank = same.index(day)
        named = {at for weekday, at in parts.by_day if weekday == day.weekday()}
        checks.append(bool({None, rank + 1, rank - len(same)} & named))
    elif parts.freq == "WEEKLY" or (parts.by_week and not (parts.by_month_day or parts.by_year_day)):
        checks.append(day.weekday() == ANCHOR.weekday())
    return all(checks)


@pytest.mark.parametrize("rule", RULES)
def test_the_days_of_every_month_are_those_that_a_slow_check_finds(rule):
    parts = parse_parts(rule)
    days = days_of(parts, ANCHOR)

    for year in YEARS:
        for month in sorted(days.months):
            slow = [at for at in range(monthrange(year, month)[1]) if is_named(parts, date(year, month, at + 1))]
            assert list(days.days_of_month(year, month)) == slow, (year, month)


def test_week_53_from_the_end_depends_on_the_next_years_length():
    """2047 and 2058 begin alike; the leap year 2048 has 53 weeks, 2059 has 52. Whichever is asked first."""
    table = DayTable(days_of(parse_parts("FREQ=YEARLY;BYWEEKNO=-53;BYDAY=MO"), date(2047, 1, 1)))

    found = [table.first_from(date(year, 12, 1).toordinal()) for year in (2047, 2058)]

    assert found == [date(2047, 12, 30).toordinal(), date(2059, 12, 29).toordinal()]
