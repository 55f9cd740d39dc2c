"""Instants. They are ISO 8601 texts: UTC with `Z`, or with a zone's offset where a zone is given.

A text without an offset is taken in the given zone, else in UTC. A wall time that a zone skips is moved on by the
gap's length; of one that occurs twice the first is meant.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.relativedelta import relativedelta

from pipelines.expressions.durations import Duration, parse_duration
from pipelines.expressions.functions.registry import bad_argument, function
from pipelines.expressions.values import as_integer_if_integral

_UNIT_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800}
_UNITS = ("year", "month", "week", "day", "hour", "minute")
_MAX_FORMAT = 200

_Directive = Callable[[datetime], str]
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

# Our own table, not strftime: that one follows the host's locale and C library, and takes widths of any size.
_DIRECTIVES: dict[str, _Directive] = {
    "Y": lambda at: f"{at.year:04}",
    "y": lambda at: f"{at.year % 100:02}",
    "m": lambda at: f"{at.month:02}",
    "d": lambda at: f"{at.day:02}",
    "e": lambda at: str(at.day),
    "H": lambda at: f"{at.hour:02}",
    "I": lambda at: f"{(at.hour - 1) % 12 + 1:02}",
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "f": lambda at: f"{at.microsecond:06}",
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "A": lambda at: _DAYS[at.weekday()],
    "a": lambda at: _DAYS[at.weekday()][:3],
    "B": lambda at: _MONTHS[at.month - 1],
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "j": lambda at: f"{at.timetuple().tm_yday:03}",
    "u": lambda at: str(at.isoweekday()),
    "G": lambda at: f"{at.isocalendar().year:04}",
    "V": lambda at: f"{at.isocalendar().week:02}",
    "F": lambda at: at.date().isoformat(),
    "T": lambda at: f"{at:%H:%M:%S}",
    "s": lambda at: str(int(at.timestamp())),
    "z": lambda at: f"{at:%z}",
    "Z": lambda at: at.tzname() or "",
    "%": lambda _at: "%",
}


@lru_cache(maxsize=128)
def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise bad_argument(f"there is no time zone {name!r}", hint="an IANA name such as Europe/Chisinau") from error


def _duration(text: str) -> Duration:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise bad_argument(str(error)) from error


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise bad_argument(f"{text!r} is no ISO 8601 date or instant such as 2025-01-06T08:30:00Z") from error


def _elapsed_unit(unit: str) -> int:
    """Its seconds."""
    if unit not in _UNIT_SECONDS:
        raise bad_argument(f"date_diff() knows no unit {unit!r}", hint=f"one of {', '.join(_UNIT_SECONDS)}")
    return _UNIT_SECONDS[unit]


def _calendar_unit(unit: str) -> str:
    if unit not in _UNITS:
        raise bad_argument(f"start_of() knows no unit {unit!r}", hint=f"one of {', '.join(_UNITS)}")
    return unit


def _directives(format: str) -> list[str | _Directive]:  # noqa: A002
    """Texts, and what writes the directives between them."""
    if len(format) > _MAX_FORMAT:
        raise bad_argument(f"a format may be at most {_MAX_FORMAT} characters long")
    text, *parts = format.replace("%%", "%\0").split("%")
    pieces: list[str | _Directive] = [text]
    for part in parts:
        letter = "%" if part[:1] == "\0" else part[:1]
        directive = _DIRECTIVES.get(letter)
        if directive is None:
            raise bad_argument(f"format_date() knows no directive %{letter}", hint=f"%{' %'.join(_DIRECTIVES)}")
        pieces += [directive, part[1:]]
    return pieces


_LITERALS: Mapping[str, Callable[[str], object]] = {"instant": _parsed, "duration": _duration, "zone": _zone}


@function(
    "date_add(instant: string, duration: string, zone?: string) -> string",
    ("date_add('2025-01-31T08:00:00Z', 'P1M')", "2025-02-28T08:00:00Z"),
    ("date_add('2025-03-29T08:00:00+01:00', 'P1D', 'Europe/Berlin')", "2025-03-30T08:00:00+02:00"),
    literals=_LITERALS,
)
def date_add(instant: str, duration: str, zone: str | None = None) -> str:
    """The instant that much later. Months end where the month ends; in a zone, days keep the wall time."""
    return _show(_moved(_read(instant, zone), _duration(duration), 1), zone)


@function(
    "date_sub(instant: string, duration: string, zone?: string) -> string",
    ("date_sub('2025-01-01T00:30:00Z', 'PT1H')", "2024-12-31T23:30:00Z"),
    literals=_LITERALS,
)
def date_sub(instant: str, duration: str, zone: str | None = None) -> str:
    """The instant that much earlier."""
    return _show(_moved(_read(instant, zone), _duration(duration), -1), zone)


@function(
    "date_diff(left: string, right: string, unit?: string) -> number",
    ("date_diff('2025-01-01T01:00:00Z', '2025-01-01T00:00:00Z')", 3600),
    ("date_diff('2025-01-03T12:00:00Z', '2025-01-01T00:00:00Z', 'days')", 2.5),
    literals={"left": _parsed, "right": _parsed, "unit": _elapsed_unit},
)
def date_diff(left: str, right: str, unit: str = "seconds") -> float:
    """The left instant less the right one, in `seconds` (default), `minutes`, `hours`, `days` or `weeks`."""
    length = _elapsed_unit(unit)
    elapsed = (_read(left, None) - _read(right, None)).total_seconds()
    return as_integer_if_integral(elapsed / length)


@function(
    "format_date(instant: string, format: string, zone?: string) -> string",
    ("format_date('2025-01-06T06:30:00Z', '%d.%m.%Y %H:%M', 'Europe/Chisinau')", "06.01.2025 08:30"),
    ("format_date('2025-01-06T06:30:00Z', '%A')", "Monday"),
    literals={**_LITERALS, "format": _directives},
)
def format_date(instant: str, format: str, zone: str | None = None) -> str:  # noqa: A002
    """The instant in that zone (default: its own offset), written by strftime's directives, in English.

    `%Y %y %m %d %e %H %I %M %S %f %p %A %a %B %b %j %u %G %V %F %T %s %z %Z %%`.
    """
    at = _read(instant, zone)
    return "".join(piece if isinstance(piece, str) else piece(at) for piece in _directives(format))


@function(
    "parse_date(text: string, format?: string, zone?: string) -> string",
    ("parse_date('2025-01-06 08:30')", "2025-01-06T08:30:00Z"),
    ("parse_date('06.01.2025', '%d.%m.%Y', 'Europe/Chisinau')", "2025-01-06T00:00:00+02:00"),
    literals=_LITERALS,
)
def parse_date(text: str, format: str | None = None, zone: str | None = None) -> str:  # noqa: A002
    """The instant that the text names: ISO 8601 (also a date alone), or by the directives that strptime takes."""
    if format is None:
        return _show(_read(text, zone), zone)
    if len(format) > _MAX_FORMAT or len(text) > _MAX_FORMAT:
        raise bad_argument(f"parse_date() takes at most {_MAX_FORMAT} characters")
    try:
        parsed = datetime.strptime(text, format)
    except (ValueError, IndexError) as error:
        raise bad_argument(f"parse_date(): {text!r} is not written as {format!r}") from error
    return _show(_in_zone(parsed, zone), zone)


@function(
    "to_zone(instant: string, zone: string) -> string",
    ("to_zone('2025-06-01T06:30:00Z', 'Europe/Chisinau')", "2025-06-01T09:30:00+03:00"),
    ("to_zone('2025-06-01T09:30:00+03:00', 'UTC')", "2025-06-01T06:30:00Z"),
    literals=_LITERALS,
)
def to_zone(instant: str, zone: str) -> str:
    """The same instant, with the offset of that zone."""
    return _show(_read(instant, None), zone)


@function(
    "start_of(instant: string, unit: string, zone?: string) -> string",
    ("start_of('2025-01-08T10:15:00Z', 'day')", "2025-01-08T00:00:00Z"),
    ("start_of('2025-01-08T10:15:00Z', 'week', 'Europe/Berlin')", "2025-01-06T00:00:00+01:00"),
    literals={**_LITERALS, "unit": _calendar_unit},
)
def start_of(instant: str, unit: str, zone: str | None = None) -> str:
    """The first instant of its `year`, `month`, `week` (from Monday), `day`, `hour` or `minute`, by its clock."""
    at = _read(instant, zone)
    _calendar_unit(unit)
    start = at.replace(second=0, microsecond=0)
    if unit != "minute":
        start = start.replace(minute=0)
    if unit not in ("minute", "hour"):
        start = start.replace(hour=0, fold=0)
    if unit == "week":
        start = _shifted(start, timedelta(days=-start.weekday()))
    if unit in ("month", "year"):
        start = start.replace(day=1)
    return _show(start.replace(month=1) if unit == "year" else start, zone)


def _read(text: str, zone: str | None) -> datetime:
    """The instant in `zone`; without a zone as written, UTC where no offset is written."""
    return _in_zone(_parsed(text), zone)


def _in_zone(parsed: datetime, zone: str | None) -> datetime:
    target = UTC if zone is None else _zone(zone)
    if parsed.tzinfo is None:
        return parsed.replace(tzinfo=target)
    try:
        return parsed if zone is None else parsed.astimezone(target)
    except OverflowError as error:
        raise _out_of_range() from error


def _moved(at: datetime, duration: Duration, sign: int) -> datetime:
    """Calendar units on the wall clock of `at`'s zone, then elapsed time."""
    try:
        moved = at
        if duration.months or duration.days:
            moved = at + relativedelta(months=sign * duration.months, days=sign * duration.days)
        return (moved.astimezone(UTC) + sign * duration.time).astimezone(at.tzinfo)
    except (OverflowError, ValueError) as error:
        raise _out_of_range() from error


def _shifted(at: datetime, by: timedelta) -> datetime:
    try:
        return at + by
    except OverflowError as error:
        raise _out_of_range() from error


def _show(at: datetime, zone: str | None) -> str:
    try:
        # By way of UTC, which moves a wall time that its zone skips to one that exists.
        shown = at.astimezone(UTC).astimezone(UTC if zone is None else _zone(zone))
    except OverflowError as error:
        raise _out_of_range() from error
    text = shown.isoformat()
    return f"{text.removesuffix('+00:00')}Z" if zone in (None, "UTC") else text


def _out_of_range() -> Exception:
    return bad_argument("the instant is outside the years 1 to 9999")
