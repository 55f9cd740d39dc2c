"""The parts of an RFC 5545 RRULE, read strictly: what the RFC forbids is refused, with the place and the fix.

Libraries accept, ignore or hang on much of what is refused here (COUNT=0, doubled parts, INTERVAL=0, parts that do
not go with the FREQ), so nothing below this module has to expect it.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from scheduling.core.recurrence.rule import ScheduleError, require_supported_year

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
SUB_DAILY = frozenset({"HOURLY", "MINUTELY", "SECONDLY"})
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
MAX_LENGTH = 2000
MAX_NUMBER = 999_999_999

# Lowest and highest magnitude of each list of numbers, and whether a minus counts from the end.
_NUMBER_LISTS = {
    "BYSECOND": (0, 60, False),
    "BYMINUTE": (0, 59, False),
    "BYHOUR": (0, 23, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYMONTH": (1, 12, False),
    "BYSETPOS": (1, 366, True),
}
_NAMES = ("FREQ", "UNTIL", "COUNT", "INTERVAL", "BYDAY", "WKST", *_NUMBER_LISTS)
# A leap second, which no clock of ours shows, is read as the second before it (RFC 5545 3.3.12).
_LAST_SECOND = 59
_UNSIGNED = re.compile(r"[0-9]{1,9}", re.ASCII)
_SIGNED = re.compile(r"[+-]?[0-9]{1,3}", re.ASCII)
_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_UNTIL = re.compile(r"[0-9]{8}(T[0-9]{6}Z?)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A valid RRULE. Empty tuples stand for missing parts; weekdays count from Monday 0, `(0, None)` is every Monday.

    `until` is a naive time, in UTC where `until_is_utc`, else local; a date means that whole day.
    """

    freq: str
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    until_is_utc: bool = False
    week_start: int = 0
    by_day: tuple[tuple[int, int | None], ...] = ()
    by_month: tuple[int, ...] = ()
    by_week: tuple[int, ...] = ()
    by_year_day: tuple[int, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_hour: tuple[int, ...] = ()
    by_minute: tuple[int, ...] = ()
    by_second: tuple[int, ...] = ()
    by_position: tuple[int, ...] = ()

    @property
    def names_days(self) -> bool:
        return bool(self.by_day or self.by_month_day or self.by_year_day or self.by_week)

    @property
    def is_finite(self) -> bool:
        return self.count is not None or self.until is not None


def parse_parts(expression: str) -> Parts:
    """Read an RRULE value, with or without `RRULE:` before it, or raise ScheduleError `invalid_rrule`."""
    given = _split(expression)
    if "FREQ" not in given:
        _refuse("FREQ is missing", hint="Begin with FREQ=DAILY, for example")
    numbers = {name: _numbers(name, given[name]) for name in _NUMBER_LISTS if name in given}
    until, until_is_utc = _until(given["UNTIL"]) if "UNTIL" in given else (None, False)
    parts = Parts(
        freq=_one_of("FREQ", given["FREQ"], FREQUENCIES),
        interval=_positive("INTERVAL", given.get("INTERVAL", "1")),
        count=_positive("COUNT", given["COUNT"]) if "COUNT" in given else None,
        until=until,
        until_is_utc=until_is_utc,
        week_start=WEEKDAYS.index(_one_of("WKST", given.get("WKST", "MO"), WEEKDAYS)),
        by_day=_days(given["BYDAY"]) if "BYDAY" in given else (),
        by_month=numbers.get("BYMONTH", ()),
        by_week=numbers.get("BYWEEKNO", ()),
        by_year_day=numbers.get("BYYEARDAY", ()),
        by_month_day=numbers.get("BYMONTHDAY", ()),
        by_hour=numbers.get("BYHOUR", ()),
        by_minute=numbers.get("BYMINUTE", ()),
        by_second=tuple(sorted({min(each, _LAST_SECOND) for each in numbers.get("BYSECOND", ())})),
        by_position=numbers.get("BYSETPOS", ()),
    )
    _check_together(parts)
    return parts


def _refuse(detail: str, *, hint: str | None = None) -> NoReturn:
    raise ScheduleError("invalid_rrule", detail, field="expression", hint=hint)


def _split(expression: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in _bare(expression).split(";"):
        name, equals, value = part.partition("=")
        if not part:
            _refuse("There is an empty part between two semicolons, or after the last")
        if not equals:
            _refuse(f"{part[:40]!r} is not of the form NAME=VALUE", hint="Write FREQ=DAILY;BYHOUR=8, for example")
        if name not in _NAMES:
            _refuse(f"{name[:40]!r} is not a part of an RRULE", hint=f"The parts are {', '.join(_NAMES)}")
        if name in given:
            _refuse(f"{name} is given twice", hint=f"Join the values with commas in one {name}")
        if not value:
            _refuse(f"{name} has no value")
        given[name] = value
    return given


def _bare(expression: str) -> str:
    """The rule in capitals, without what may stand around it."""
    text = expression.strip()
    if len(text) > MAX_LENGTH:
        _refuse(f"The rule is longer than {MAX_LENGTH} characters")
    if len(text.splitlines()) > 1 or text.upper().startswith(("DTSTART", "EXDATE", "RDATE", "EXRULE")):
        _refuse(
            "Only rules stand here, one a line", hint="Give DTSTART as starts_at, EXDATE as exdates and RDATE as rdates"
        )
    if not text.isascii():
        _refuse("A rule is written in ASCII letters and digits")
    text = text.upper().removeprefix("RRULE:")
    if not text:
        _refuse("The rule is empty", hint="Write FREQ=DAILY;BYHOUR=8, for example")
    return text


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        _refuse(f"{name} cannot be {value[:40]!r}", hint=f"It is one of {', '.join(known)}")
    return value


def _positive(name: str, value: str) -> int:
    if not _UNSIGNED.fullmatch(value) or not int(value):
        _refuse(f"{name} must be a whole number from 1 to {MAX_NUMBER}, not {value[:40]!r}")
    return int(value)


def _numbers(name: str, value: str) -> tuple[int, ...]:
    low, high, is_signed = _NUMBER_LISTS[name]
    found = set()
    for item in value.split(","):
        form = _SIGNED if is_signed else _UNSIGNED
        has_digits = form.fullmatch(item) and len(item.lstrip("+-")) <= len(str(high))
        if not has_digits or not low <= abs(int(item)) <= high:
            sides = f"{low} to {high}, or -{high} to -{low} from the end" if is_signed else f"{low} to {high}"
            _refuse(f"{name} takes numbers from {sides}, not {item[:40]!r}")
        found.add(int(item))
    return tuple(sorted(found))


def _days(value: str) -> tuple[tuple[int, int | None], ...]:
    found = set()
    for item in value.split(","):
        match = _DAY.fullmatch(item)
        if match is None:
            _refuse(f"BYDAY takes {', '.join(WEEKDAYS)}, with a number before where FREQ allows, not {item[:40]!r}")
        position = int(match[1]) if match[1] else None
        if position == 0:
            _refuse("BYDAY counts weekdays from 1, or from -1 at the end, not from 0")
        found.add((WEEKDAYS.index(match[2]), position))
    return tuple(sorted(found, key=lambda day: (day[1] or 0, day[0])))


def _until(value: str) -> tuple[datetime, bool]:
    if not _UNTIL.fullmatch(value):
        _refuse(f"UNTIL cannot be {value[:40]!r}", hint="Write 20301231T235959Z (UTC) or 20301231T235959 (local)")
    value = re.sub(r"60(Z?)\Z", rf"{_LAST_SECOND}\1", value) if "T" in value else value
    try:
        until = datetime.strptime(value.removesuffix("Z"), "%Y%m%dT%H%M%S" if "T" in value else "%Y%m%d")
    except ValueError:
        _refuse(f"UNTIL={value} is not a time of the calendar")
    require_supported_year(until, field="expression")
    return (until if "T" in value else until.replace(hour=23, minute=59, second=59)), value.endswith("Z")


def _check_together(parts: Parts) -> None:
    if parts.count is not None and parts.until is not None:
        _refuse("COUNT and UNTIL cannot stand together", hint="Keep the one that should end the schedule")
    positions = [position for _, position in parts.by_day if position is not None]
    if positions and parts.freq not in ("MONTHLY", "YEARLY"):
        _refuse(
            f"BYDAY takes no number with FREQ={parts.freq}", hint="Use FREQ=MONTHLY for the n-th weekday of a month"
        )
    if positions and parts.by_week:
        _refuse("BYDAY takes no number together with BYWEEKNO")
    highest = 53 if parts.freq == "YEARLY" and not parts.by_month else 5
    if any(abs(position) > highest for position in positions):
        _refuse(f"BYDAY's number goes up to {highest} here: no month or year has more of one weekday")
    if parts.by_month_day and parts.freq == "WEEKLY":
        _refuse("BYMONTHDAY cannot stand with FREQ=WEEKLY", hint="Use FREQ=MONTHLY, or FREQ=DAILY with BYMONTHDAY")
    if parts.by_year_day and parts.freq in ("DAILY", "WEEKLY", "MONTHLY"):
        _refuse(f"BYYEARDAY cannot stand with FREQ={parts.freq}", hint="Use FREQ=YEARLY")
    if parts.by_week and parts.freq != "YEARLY":
        _refuse(f"BYWEEKNO cannot stand with FREQ={parts.freq}", hint="Use FREQ=YEARLY")
    others = (parts.names_days, parts.by_month, parts.by_hour, parts.by_minute, parts.by_second)
    if parts.by_position and not any(others):
        _refuse("BYSETPOS needs another BY part to choose from")
