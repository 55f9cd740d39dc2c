"""Cron's five fields, read in the slow and obvious way."""

from collections.abc import Callable
from datetime import datetime


def field_values(text: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        start, _, end = ("0" if low == 0 else str(low), "-", str(high)) if span == "*" else span.partition("-")
        values |= set(range(int(start), int(end or start) + 1, int(step or 1)))
    return values


def cron_matcher(expression: str) -> Callable[[datetime], bool]:
    minute, hour, day, month, weekday = expression.split()
    minutes, hours = field_values(minute, 0, 59), field_values(hour, 0, 23)
    days, months = field_values(day, 1, 31), field_values(month, 1, 12)
    weekdays = {value % 7 for value in field_values(weekday, 0, 7)}
    join = all if day.startswith("*") or weekday.startswith("*") else any

    def matches(wall: datetime) -> bool:
        return (
            wall.minute in minutes
            and wall.hour in hours
            and wall.month in months
            and join((wall.day in days, wall.isoweekday() % 7 in weekdays))
        )

    return matches
