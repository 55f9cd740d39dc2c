"""ISO 8601 durations: `P1D`, `PT1H30M`, `P1M`. Years and months are calendar units, the rest elapsed time."""

import re
from dataclasses import dataclass
from datetime import timedelta

_DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?=.)(?:(?P<years>\d{1,6})Y)?(?:(?P<months>\d{1,6})M)?(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,7})D)?"
    r"(?:T(?=.)(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9}(?:[.,]\d{1,6})?)S)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Duration:
    """A length in units that a calendar keeps apart: months differ in days, and across a change of clocks days differ
    in seconds. `time` holds hours and below."""

    months: int
    days: int
    time: timedelta


def parse_duration(text: str) -> Duration:
    """Read an ISO 8601 duration, a sign before the P allowed. Raises ValueError with a message for people."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no ISO 8601 duration such as PT30S, PT1H30M or P1D")
    sign = -1 if match["sign"] == "-" else 1
    given = {unit: match[unit] or "0" for unit in ("years", "months", "weeks", "days", "hours", "minutes")}
    counted = {unit: sign * int(number) for unit, number in given.items()}
    seconds = sign * float((match["seconds"] or "0").replace(",", "."))
    return Duration(
        months=12 * counted["years"] + counted["months"],
        days=7 * counted["weeks"] + counted["days"],
        time=timedelta(hours=counted["hours"], minutes=counted["minutes"], seconds=seconds),
    )


def parse_timedelta(text: str) -> timedelta:
    """Read a duration of a fixed length, a day being 24 hours. Raises ValueError also for years and months."""
    duration = parse_duration(text)
    if duration.months:
        raise ValueError(f"{text!r} has years or months, whose length is not fixed; give days or hours")
    return timedelta(days=duration.days) + duration.time


def format_duration(length: timedelta) -> str:
    """The shortest ISO 8601 text of a length: `PT0S`, `PT1M30S`, `P1DT2H`."""
    sign = "-" if length < timedelta() else ""
    length = abs(length)
    hours, rest = divmod(length.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{length.microseconds:06}".rstrip("0") if length.microseconds else ""
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number) + (
        f"{seconds}{fraction}S" if seconds or fraction else ""
    )
    days = f"{length.days}D" if length.days else ""
    return f"{sign}P{days}T{time}" if time else f"{sign}P{days}" if days else "PT0S"
