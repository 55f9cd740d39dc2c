"""Which dates the BY parts of an RRULE name: a filter over single dates."""

from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from scheduling.core.recurrence.rrule_parts import SUB_DAILY, Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class RRuleDays:
    """The days that match every given part; `nth_of_year` says what numbers before weekdays count in."""

    weekdays: frozenset[tuple[int, int | None]]
    months: frozenset[int]
    weeks: frozenset[int]
    year_days: frozenset[int]
    month_days: frozenset[int]
    week_start: int
    nth_of_year: bool

    def matches(self, day: date) -> bool:
        return (
            day.month in self.months
            and (not self.month_days or self._is_month_day(day))
            and (not self.weekdays or self._is_weekday(day))
            and (not self.year_days or self._is_year_day(day))
            and (not self.weeks or self._is_week(day))
        )

    def _is_month_day(self, day: date) -> bool:
        return day.day in self.month_days or day.day - monthrange(day.year, day.month)[1] - 1 in self.month_days

    def _is_year_day(self, day: date) -> bool:
        position = day.timetuple().tm_yday
        return position in self.year_days or position - (365 + isleap(day.year)) - 1 in self.year_days

    def _is_weekday(self, day: date) -> bool:
        weekday = day.weekday()
        if (weekday, None) in self.weekdays:
            return True
        if self.nth_of_year:
            position, length = day.timetuple().tm_yday, 365 + isleap(day.year)
        else:
            position, length = day.day, monthrange(day.year, day.month)[1]
        from_start, from_end = (position - 1) // 7 + 1, -((length - position) // 7 + 1)
        return (weekday, from_start) in self.weekdays or (weekday, from_end) in self.weekdays

    def _is_week(self, day: date) -> bool:
        number, weeks = _week_of(day, self.week_start)
        return number in self.weeks or number - weeks - 1 in self.weeks


def days_of(parts: Parts, anchor: date) -> RRuleDays:
    """The filter of a rule; what it leaves open comes from the anchor (RFC 5545 3.3.10)."""
    months, month_days, weekdays = parts.by_month, parts.by_month_day, parts.by_day
    if parts.freq == "WEEKLY" and not weekdays:
        weekdays = ((anchor.weekday(), None),)
    elif parts.freq == "MONTHLY" and not parts.names_days:
        month_days = (anchor.day,)
    elif parts.freq == "YEARLY" and not parts.names_days:
        months, month_days = months or (anchor.month,), (anchor.day,)
    elif parts.freq == "YEARLY" and parts.by_week and not (weekdays or month_days or parts.by_year_day):
        weekdays = ((anchor.weekday(), None),)
    return RRuleDays(
        weekdays=frozenset(weekdays),
        months=frozenset(months or range(1, 13)),
        weeks=frozenset(parts.by_week),
        year_days=frozenset(parts.by_year_day),
        month_days=frozenset(month_days),
        week_start=parts.week_start,
        nth_of_year=parts.freq == "YEARLY" and not parts.by_month,
    )


def is_every_day(parts: Parts) -> bool:
    """True where a rule of every hour or finer leaves the day open."""
    return parts.freq in SUB_DAILY and not (parts.names_days or parts.by_month)


def _week_of(day: date, week_start: int) -> tuple[int, int]:
    """The number of a day's week and how many weeks its year has: week 1 has at least four days in the year."""
    middle = day - timedelta(days=(day.weekday() - week_start) % 7) + timedelta(days=3)
    number = (middle.timetuple().tm_yday - 1) // 7 + 1
    last_middle_day = (date(middle.year, 12, 31).weekday() - week_start - 3) % 7
    weeks = ((365 + isleap(middle.year)) - last_middle_day - 1) // 7 + 1
    return number, weeks
