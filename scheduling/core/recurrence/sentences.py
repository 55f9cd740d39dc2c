"""The pieces of a schedule's English sentence that all kinds share."""

from collections.abc import Iterable, Sequence

WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_SHOWN_TIMES = 6


def in_zone(sentence: str, zone: str) -> str:
    return f"{sentence} ({zone})"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def plural(count: int, noun: str) -> str:
    """`day` for 1, else `3 days`: what stands after "every"."""
    return noun if count == 1 else f"{count} {noun}s"


def ordinal(number: int) -> str:
    """`first`, `2nd`, `last`, `2nd-to-last`: the place that a positive or negative number names."""
    if number == 1:
        return "first"
    if number == -1:
        return "last"
    if number < 0:
        return f"{ordinal(-number)}-to-last"
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def times_of_day(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int] = (0,)) -> str:
    """`08:00`, `09:00 and 18:00`, or a description where they are many."""
    if len(hours) * len(minutes) * len(seconds) > _SHOWN_TIMES:
        shown = f"minute {numbers(minutes)} of hour {numbers(hours)}"
        return shown if tuple(seconds) == (0,) else f"second {numbers(seconds)} of {shown}"
    has_seconds = tuple(seconds) != (0,)
    return listed(
        [
            f"{hour:02}:{minute:02}:{second:02}" if has_seconds else f"{hour:02}:{minute:02}"
            for hour in hours
            for minute in minutes
            for second in seconds
        ]
    )


def numbers(values: Iterable[int]) -> str:
    """`1`, `1 and 3`, `1 to 5`, `0, 10, 20 and 30`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return listed([f"{run[0]} to {run[-1]}" if len(run) > 2 else listed([str(value) for value in run]) for run in runs])


def weekdays(days: Iterable[int]) -> str:
    """`weekday`, `weekend day`, or names; days count from Monday 0. What stands after "every"."""
    named = tuple(sorted(set(days)))
    if named == (0, 1, 2, 3, 4):
        return "weekday"
    if named == (5, 6):
        return "weekend day"
    if named == tuple(range(7)):
        return "day"
    return listed([WEEKDAY_NAMES[day] for day in named])


def months(values: Iterable[int]) -> str:
    return listed([MONTH_NAMES[month - 1] for month in sorted(set(values))])
