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

    def days_of_month(self, year: int, month: int) -> tuple[int, ...]:
        first_weekday, length = monthrange(year, month)
        if self.month_days:
            named = {day - 1 if day > 0 else length + day for day in self.month_days}
            days = [day for day in range(length) if day in named]
        else:
            days = list(range(length))
        if self.weekdays:
            on_weekdays = self._on_weekdays(year, month, first_weekday, length)
            days = [day for day in days if day in on_weekdays]
        if self.year_days:
            from_start, from_end = date(year, month, 1).timetuple().tm_yday, 365 + isleap(year) + 1
            positions = {at - from_start if at > 0 else at + from_end - from_start for at in self.year_days}
            days = [day for day in days if day in positions]
        if self.weeks:
            shift = (first_weekday - self.week_start) % 7
            one_of_each = {(day + shift) // 7: day for day in days}  # the days of one week share the answer
            named = {week for week, day in one_of_each.items() if self._is_week(date(year, month, day + 1))}
            days = [day for day in days if (day + shift) // 7 in named]
        return tuple(days)

    def _on_weekdays(self, year: int, month: int, first_weekday: int, length: int) -> set[int]:
        """The days of a month that BYDAY names, from 0; the n-th weekdays are those of the month or of the year."""
        before, whole = 0, length
        if self.nth_of_year:
            before, whole = date(year, month, 1).timetuple().tm_yday - 1, 365 + isleap(year)
        found: set[int] = set()
        for weekday, position in self.weekdays:
            if position is None:
                found.update(range((weekday - first_weekday) % 7, length, 7))
                continue
            first = (weekday - first_weekday + before) % 7
            last = first + (whole - 1 - first) // 7 * 7
            day = first + (position - 1) * 7 if position > 0 else last + (position + 1) * 7
            if 0 <= day < whole and 0 <= day - before < length:
                found.add(day - before)
        return found

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
