"""An RRULE in an English sentence."""

from datetime import datetime

from scheduling.core.recurrence.rrule_parts import SUB_DAILY, Parts
from scheduling.core.recurrence.sentences import (
    WEEKDAY_NAMES,
    in_zone,
    listed,
    months,
    numbers,
    ordinal,
    plural,
    times_of_day,
    weekdays,
)

_NOUNS = {
    "YEARLY": "year",
    "MONTHLY": "month",
    "WEEKLY": "week",
    "DAILY": "day",
    "HOURLY": "hour",
    "MINUTELY": "minute",
    "SECONDLY": "second",
}


def describe(parts: Parts, anchor: datetime, zone: str) -> str:
    """For example: Every weekday at 08:00 (Europe/Chisinau)."""
    words = [_every(parts, anchor), *_days(parts), *_positions(parts), *_times(parts, anchor)]
    return in_zone(" ".join(words) + _end(parts), zone)


def _every(parts: Parts, anchor: datetime) -> str:
    plain_days = [day for day, position in parts.by_day if position is None]
    is_weekly = parts.freq == "WEEKLY" or (parts.freq == "DAILY" and parts.interval == 1)
    if is_weekly and parts.interval == 1 and (plain_days or parts.freq == "WEEKLY"):
        return f"Every {weekdays(plain_days or [anchor.weekday()])}"
    every = f"Every {plural(parts.interval, _NOUNS[parts.freq])}"
    if parts.freq == "WEEKLY":
        names = listed([WEEKDAY_NAMES[day] for day in plain_days or [anchor.weekday()]])
        return f"{every} on {names}"
    if parts.freq == "MONTHLY" and not parts.names_days:
        return f"{every} on day {anchor.day}"
    if parts.freq == "YEARLY" and not parts.names_days:
        return f"{every} on day {anchor.day} of {months(parts.by_month or [anchor.month])}"
    return every


def _days(parts: Parts) -> list[str]:
    words = []
    is_said = parts.freq == "WEEKLY" or (parts.freq == "DAILY" and parts.interval == 1)
    if parts.by_day and not is_said:
        plain = [day for day, position in parts.by_day if position is None]
        named = [f"the {ordinal(position)} {WEEKDAY_NAMES[day]}" for day, position in parts.by_day if position]
        words.append(f"on {listed([*named, *([weekdays(plain)] if plain else [])])}")
    if parts.by_month_day:
        last = [ordinal(day) for day in parts.by_month_day if day < 0]
        first = [day for day in parts.by_month_day if day > 0]
        shown = [*([f"day {numbers(first)}"] if first else []), *(f"the {place} day" for place in last)]
        of_months = months(parts.by_month) if parts.by_month else "the month"
        words.append(f"{'if it is' if parts.by_day else 'on'} {listed(shown)} of {of_months}")
    if parts.by_year_day:
        words.append(f"on day {numbers(parts.by_year_day)} of the year")
    if parts.by_week:
        words.append(f"in week {numbers(parts.by_week)}")
    if parts.by_month and not parts.by_month_day and (parts.freq != "YEARLY" or parts.names_days):
        words.append(f"in {months(parts.by_month)}")
    return words


def _positions(parts: Parts) -> list[str]:
    if not parts.by_position:
        return []
    return [f"({listed([ordinal(at) for at in parts.by_position])} of each {_NOUNS[parts.freq]})"]


def _times(parts: Parts, anchor: datetime) -> list[str]:
    if parts.freq not in SUB_DAILY:
        hours, minutes = parts.by_hour or (anchor.hour,), parts.by_minute or (anchor.minute,)
        return [f"at {times_of_day(hours, minutes, parts.by_second or (anchor.second,))}"]
    words = []
    for name, values in (("second", parts.by_second), ("minute", parts.by_minute), ("hour", parts.by_hour)):
        if values:
            words.append(f"at {name} {numbers(values)}")
    return words


def _end(parts: Parts) -> str:
    if parts.count is not None:
        return ", once" if parts.count == 1 else f", {parts.count} times"
    if parts.until is not None:
        return f", until {parts.until:%Y-%m-%d %H:%M:%S}{' UTC' if parts.until_is_utc else ''}"
    return ""
