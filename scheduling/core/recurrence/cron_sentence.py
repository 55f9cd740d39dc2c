"""A cron expression in an English sentence."""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from cronsim.cronsim import CronSim, Field

from scheduling.core.recurrence.clockface import Clockface
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

_STEP = re.compile(r"\*/0*([1-9]\d?)", re.ASCII)


def describe(fields: Sequence[str], clockface: Clockface, nearest: AbstractSet[int], zone: str) -> str:
    """For example: Every weekday at 08:00 (Europe/Chisinau)."""
    minute, hour, day_of_month, month, day_of_week = fields
    named_months = months(_plain(Field.MONTH, month)) if month != "*" else ""
    days = _days(day_of_month, day_of_week, nearest, named_months or "the month")
    # Where either day will do, the months hold for the weekdays as well.
    either = not (day_of_month.startswith("*") or day_of_week.startswith("*"))
    in_months = f" in {named_months}" if named_months and (day_of_month == "*" or either) else ""
    is_fixed = not (minute.startswith("*") or hour.startswith("*"))
    if is_fixed:
        return in_zone(f"{days}{in_months} at {times_of_day(clockface.hours, clockface.minutes)}", zone)
    often = _often(minute, hour, clockface)
    on_days = "" if days == "Every day" else f", {days[0].lower()}{days[1:]}"
    return in_zone(f"{often}{on_days}{in_months}", zone)


def _often(minute: str, hour: str, clockface: Clockface) -> str:
    step = _STEP.fullmatch(minute)
    if len(clockface.minutes) == 60:
        words = "Every minute"
    elif step is not None and 60 % int(step[1]) == 0:
        words = f"Every {plural(int(step[1]), 'minute')}"
    elif hour == "*":
        return f"Every hour at minute {numbers(clockface.minutes)}"
    else:
        words = f"At minute {numbers(clockface.minutes)}"
    return words if hour == "*" else f"{words} of hour {numbers(clockface.hours)}"


def _days(day_of_month: str, day_of_week: str, nearest: AbstractSet[int], month: str) -> str:
    by_month = None if day_of_month == "*" else f"on {_month_days(day_of_month, nearest)} of {month}"
    by_week = None if day_of_week == "*" else _week_days(day_of_week)
    if by_month is None:
        return _capitalized(by_week or "every day")
    if by_week is None:
        return _capitalized(by_month)
    joint = "if it is also" if day_of_month.startswith("*") or day_of_week.startswith("*") else "and also"
    return _capitalized(f"{by_month} {joint} {by_week}")


def _month_days(text: str, nearest: AbstractSet[int]) -> str:
    plain = [term for term in text.split(",") if not term.endswith("W") or term == "LW"]
    found = Field.DAY.parse(",".join(plain)) if plain else set()
    days = sorted(day for day in found if isinstance(day, int) and day > 0)
    words = [f"day {numbers(days)}"] if days else []
    words += [f"the weekday nearest to day {day}" for day in sorted(nearest)]
    words += ["the last day"] if CronSim.LAST in found else []
    words += ["the last weekday"] if CronSim.LAST_WEEKDAY in found else []
    return listed(words)


def _week_days(text: str) -> str:
    found = Field.DOW.parse(text)
    plain = {(day + 6) % 7 for day in found if isinstance(day, int)}
    words = [weekdays(plain)] if plain else []
    placed = sorted((day for day in found if not isinstance(day, int)), key=lambda day: (day[1] % 100, day[0]))
    for day, place in placed:
        nth = ordinal(-1 if place == CronSim.LAST else place)
        words.append(f"{nth} {WEEKDAY_NAMES[(day + 6) % 7]} of the month")
    return f"every {listed(words)}" if plain else f"on the {listed(words)}"


def _plain(kind: Field, text: str) -> list[int]:
    return sorted(item for item in kind.parse(text) if isinstance(item, int))


def _capitalized(words: str) -> str:
    return words[0].upper() + words[1:]
