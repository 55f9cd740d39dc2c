"""An RRULE in an English sentence."""

from collections.abc import Sequence
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


def describe(parts: Parts, anchor: datetime, zone: str, *, is_doubled: bool = False) -> str:
    """For example: Every weekday at 08:00 (Europe/Chisinau). `is_doubled`: what comes twice occurs twice."""
    words = [_every(parts, anchor), *_days(parts, anchor)]
    end = _weeks(parts) + _end(parts, of_local_times=is_doubled and parts.freq not in SUB_DAILY)
    if _chooses_times(parts):
        return in_zone(" ".join([*words, *_times(parts, anchor)]) + _chosen(parts) + end, zone)
    return in_zone(" ".join([*words, *_positions(parts), *_times(parts, anchor)]) + end, zone)


def _chooses_times(parts: Parts) -> bool:
    """True where BYSETPOS chooses among times of a day, not only among days."""
    times = (parts.by_hour, parts.by_minute, parts.by_second)
    return bool(parts.by_position) and parts.freq not in SUB_DAILY and any(len(each) > 1 for each in times)


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


def _days(parts: Parts, anchor: datetime) -> list[str]:
    words = []
    is_filter = parts.freq == "DAILY"
    is_said = parts.freq == "WEEKLY" or (parts.freq == "DAILY" and parts.interval == 1)
    if parts.by_day and not is_said:
        plain = [day for day, position in parts.by_day if position is None]
        named = [f"the {ordinal(position)} {WEEKDAY_NAMES[day]}" for day, position in parts.by_day if position]
        shown_days = listed([*named, *([f"{_each(parts)}{weekdays(plain)}"] if plain else [])])
        words.append(f"if it is a {shown_days}" if is_filter else f"on {shown_days}")
    elif parts.by_week and not (parts.by_day or parts.by_month_day or parts.by_year_day):
        words.append(f"on {WEEKDAY_NAMES[anchor.weekday()]}")
    if parts.by_month_day:
        last = [ordinal(day) for day in parts.by_month_day if day < 0]
        first = [day for day in parts.by_month_day if day > 0]
        shown = [*([f"day {numbers(first)}"] if first else []), *(f"the {place} day" for place in last)]
        of_months = months(parts.by_month) if parts.by_month else _any_month(parts)
        words.append(f"{'if it is' if parts.by_day or is_filter else 'on'} {listed(shown)} of {of_months}")
    if parts.by_year_day:
        words.append(f"on {_counted('day', parts.by_year_day)} of the year")
    if parts.by_week:
        words.append(f"in {_counted('week', parts.by_week)}")
    if parts.by_month and not parts.by_month_day and (parts.freq != "YEARLY" or parts.names_days):
        words.append(f"in {months(parts.by_month)}")
    return words


def _counted(noun: str, places: Sequence[int]) -> str:
    """Day 1 and 100 and the last day: those from the end by their ordinal."""
    first, last = [place for place in places if place > 0], [place for place in places if place < 0]
    shown = [f"{noun} {numbers(first)}"] if first else []
    return listed([*shown, *(f"the {ordinal(place)} {noun}" for place in last)])


def _weeks(parts: Parts) -> str:
    """On which day weeks begin, where that decides and is none that people take for granted."""
    decides = parts.by_week or (parts.freq == "WEEKLY" and (parts.interval > 1 or parts.by_position))
    return f", weeks beginning on {WEEKDAY_NAMES[parts.week_start]}" if decides and parts.week_start else ""


def _each(parts: Parts) -> str:
    """What stands before weekdays that a longer period has more than one of, and all of which are meant."""
    has_one = parts.by_month_day or parts.by_year_day or parts.by_week or parts.by_position
    return "every " if parts.freq in ("YEARLY", "MONTHLY") and not has_one else ""


def _any_month(parts: Parts) -> str:
    if parts.freq != "YEARLY":
        return "the month"
    return "a month" if parts.by_day or parts.by_position else "every month"


def _chosen(parts: Parts) -> str:
    return f", but only the {listed([ordinal(at) for at in parts.by_position])} of each {_NOUNS[parts.freq]}"


def _positions(parts: Parts) -> list[str]:
    if not parts.by_position:
        return []
    return [f"({listed([ordinal(at) for at in parts.by_position])} of each {_NOUNS[parts.freq]})"]


def _times(parts: Parts, anchor: datetime) -> list[str]:
    if parts.freq not in SUB_DAILY:
        hours, minutes = parts.by_hour or (anchor.hour,), parts.by_minute or (anchor.minute,)
        return [f"at {times_of_day(hours, minutes, parts.by_second or (anchor.second,))}"]
    # Parts finer than what FREQ counts say when in it; the others leave most of it out.
    finer = {"HOURLY": ("second", "minute"), "MINUTELY": ("second",), "SECONDLY": ()}[parts.freq]
    named = [("second", "minute", parts.by_second), ("minute", "hour", parts.by_minute), ("hour", "day", parts.by_hour)]
    words = [f"at {name} {numbers(values)}" for name, _, values in named if values and name in finer]
    left = [f"{name} {numbers(values)} of the {whole}" for name, whole, values in named if values and name not in finer]
    return [*words, *([f"but only in {listed(left)}"] if left else [])]


def _end(parts: Parts, *, of_local_times: bool) -> str:
    if parts.count is not None and of_local_times:
        return f", at {parts.count} local time{'' if parts.count == 1 else 's'}"
    if parts.count is not None:
        return ", once" if parts.count == 1 else f", {parts.count} times"
    if parts.until is not None:
        return f", until {parts.until:%Y-%m-%d %H:%M:%S}{' UTC' if parts.until_is_utc else ''}"
    return ""
