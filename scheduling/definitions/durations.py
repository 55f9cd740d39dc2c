"""ISO 8601 durations, as they are written and shown everywhere outside the database."""

import re
from datetime import timedelta

_DURATION = re.compile(
    r"P(?!$)(?:(?P<weeks>\d{1,9})W)?(?:(?P<days>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,12}(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)


def parse_duration(text: str) -> timedelta:
    """Read `PT30M`, `P1DT12H`, `P2W`; a day is 24 hours. ValueError for anything else, years and months included."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no ISO 8601 duration of weeks, days, hours, minutes and seconds")
    try:
        return timedelta(**{unit: float(amount) for unit, amount in match.groupdict().items() if amount is not None})
    except OverflowError:
        raise ValueError(f"{text!r} is too long a time") from None


def duration_text(value: timedelta) -> str:
    """The shortest common form: `PT30M`, `P1DT12H`, `PT0S`. `value` is not negative."""
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
    clock = f"{hours}H" if hours else ""
    clock += f"{minutes}M" if minutes else ""
    clock += f"{seconds}{fraction}S" if seconds or fraction else ""
    days = f"{value.days}D" if value.days else ""
    return f"P{days}{'T' if clock else ''}{clock}" if days or clock else "PT0S"
