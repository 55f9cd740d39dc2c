"""Cron: five fields as Debian's cron reads them, and `@daily` and its like.

cronsim reads the fields and says which days match; here are what it lacks (macros, `W`, errors that name the field)
and the search, which is the one of all calendar rules.
"""

import re
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date
from typing import NoReturn

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from scheduling.core.recurrence.base import WallRecurrence
from scheduling.core.recurrence.clockface import Clockface
from scheduling.core.recurrence.context import Context
from scheduling.core.recurrence.cron_sentence import describe
from scheduling.core.recurrence.days import day_table
from scheduling.core.recurrence.patterns import DayPattern
from scheduling.core.recurrence.rule import EARLIEST, ScheduleError

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MAX_LENGTH = 500
_FIELDS = (Field.MINUTE, Field.HOUR, Field.DAY, Field.MONTH, Field.DOW)

_NUMBER_TERM = r"(\*|\d{1,2}(-\d{1,2})?)(/\d{1,2})?"
_MONTH = r"(\d{1,2}|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)"
_WEEKDAY = r"(0?[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)"
_TERMS = {
    "minute": re.compile(_NUMBER_TERM, re.ASCII),
    "hour": re.compile(_NUMBER_TERM, re.ASCII),
    "day-of-month": re.compile(rf"{_NUMBER_TERM}|L|LW|\d{{1,2}}W", re.ASCII),
    "month": re.compile(rf"(\*|{_MONTH}(-{_MONTH})?)(/\d{{1,2}})?", re.ASCII),
    "day-of-week": re.compile(rf"(\*|{_WEEKDAY}(-{_WEEKDAY})?)(/\d{{1,2}})?|{_WEEKDAY}#0?[1-5]|0?[0-7]L", re.ASCII),
}
_STEPPED_RANGE = re.compile(r"(\w+)-(\w+)/0*[1-9]\d*", re.ASCII)
_NEAREST_WEEKDAY = re.compile(r"(\d{1,2})W", re.ASCII)


@dataclass(frozen=True, slots=True)
class CronDays:
    """The days that three cron fields name; `nearest` are the days of month with a `W` after them."""

    fields: tuple[str, str, str]
    nearest: frozenset[int]
    months: frozenset[int]
    _matcher: "_DayMatcher" = field(compare=False, repr=False)

    def days_of_month(self, year: int, month: int) -> tuple[int, ...]:
        matches = self._matcher.match_day
        return tuple(day for day in range(monthrange(year, month)[1]) if matches(date(year, month, day + 1)))


class _DayMatcher(CronSim):
    """cronsim's reading of the fields, with `W`: the weekday nearest to a day, within its month."""

    nearest: frozenset[int] = frozenset()

    def match_dom(self, d: date) -> bool:
        is_named: bool = super().match_dom(d)
        if is_named or not self.nearest:
            return is_named
        return any(_nearest_weekday(d.year, d.month, day) == d.day for day in self.nearest)


def compile_cron(expression: str, context: Context) -> WallRecurrence:
    """Read and compile an expression, or raise ScheduleError `invalid_cron` or `never_occurs`."""
    fields = _split(expression)
    days, matcher = _read(fields)
    clockface = Clockface(matcher.hours, matcher.minutes, (0,))
    pattern = DayPattern(context.starts_at or EARLIEST, day_table(days), clockface)
    if pattern.next_from(context.starts_at or EARLIEST) is None:
        raise ScheduleError(
            "never_occurs",
            "This expression never occurs: no month it names has the day",
            field="expression",
            hint="L is the last day of a month",
        )
    # Debian's test for jobs that follow elapsed time through clock changes.
    follows_elapsed_time = fields[0].startswith("*") or fields[1].startswith("*")
    return WallRecurrence(
        zone=context.zone,
        sentence=describe(fields, clockface, days.nearest, context.zone.name),
        ends_at=context.ends_at,
        added=context.added,
        pattern=pattern,
        gap="skip" if follows_elapsed_time else context.gap,
        fold="both" if follows_elapsed_time else context.fold,
        follows_elapsed_time=follows_elapsed_time,
        excluded=context.excluded,
    )


def _refuse(detail: str, *, hint: str | None = None) -> NoReturn:
    raise ScheduleError("invalid_cron", detail, field="expression", hint=hint)


def _split(expression: str) -> tuple[str, ...]:
    text = expression.strip()
    if text.startswith("@"):
        if text.lower() not in _MACROS:
            hint = f"The macros are {', '.join(_MACROS)}"
            _refuse(f"{text[:40]!r} is not a macro of a schedule in time", hint=hint)
        text = _MACROS[text.lower()]
    if len(text) > _MAX_LENGTH:
        _refuse(f"The expression is longer than {_MAX_LENGTH} characters")
    if not text.isascii():  # some letters become ASCII ones in upper case
        _refuse(f"{text[:40]!r} has a character that cron does not know")
    fields = tuple(text.upper().split())
    if len(fields) == 6:
        hint = "Leave the seconds out, and use an rrule or interval for what is finer than a minute"
        _refuse("Cron has five fields, here are six", hint=hint)
    if len(fields) != 5:
        _refuse(
            f"Cron has five fields, here are {len(fields)}",
            hint="Write minute, hour, day of month, month, day of week: 0 8 * * 1-5",
        )
    return tuple(_without_idle_steps(kind, text) for kind, text in zip(_FIELDS, fields, strict=True))


def _without_idle_steps(kind: Field, text: str) -> str:
    """`9-9/4` as `9`: a range ends where it says, and cronsim would take it for `9/4`, which has no end."""
    return ",".join(
        match[1] if (match := _STEPPED_RANGE.fullmatch(term)) and _is_same(kind, match[1], match[2]) else term
        for term in text.split(",")
    )


def _is_same(kind: Field, one: str, other: str) -> bool:
    try:
        return bool(kind.int(one) == kind.int(other))
    except CronSimError:
        return False  # whoever reads the field says what is wrong with it


def _read(fields: tuple[str, ...]) -> tuple[CronDays, _DayMatcher]:
    for name, text in zip(_TERMS, fields, strict=True):
        for term in text.split(","):
            if not _TERMS[name].fullmatch(term):
                _refuse(f"The {name} field cannot be {text[:40]!r}", hint=_hint(term))
    terms = fields[2].split(",")
    nearest = frozenset(int(match[1]) for term in terms if (match := _NEAREST_WEEKDAY.fullmatch(term)))
    if any(not 1 <= day <= 31 for day in nearest):
        _refuse(f"The day-of-month field cannot be {fields[2]!r}")
    plain = ",".join(term for term in terms if not _NEAREST_WEEKDAY.fullmatch(term))
    try:
        # With the month left out: cronsim refuses 30 February as malformed, and it is a rule that never occurs.
        matcher = _DayMatcher(" ".join((fields[0], fields[1], plain or "1", "*", fields[4])), EARLIEST)
        months = frozenset(month for month in Field.MONTH.parse(fields[3]) if isinstance(month, int))
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        shown = fields[tuple(_TERMS).index(name)]
        _refuse(f"The {name} field cannot be {shown[:40]!r}: a value is out of range", hint=_range_hint(name, shown))
    if not plain:
        matcher.days = set()
    matcher.nearest = nearest
    # Cron's day-or rule looks at how the fields begin, and cronsim at what is left of them without the `W`.
    matcher.day_and = fields[2].startswith("*") or fields[4].startswith("*")
    return CronDays((fields[2], fields[3], fields[4]), nearest, months, matcher), matcher


def _hint(term: str) -> str | None:
    if "?" in term:
        return "Write * for any day"
    return "Ordinaut has no H; write the minute, and use jitter to spread load" if term[:1] == "H" else None


def _range_hint(name: str, shown: str) -> str | None:
    if "-" not in shown:
        return None
    return "A range goes upwards" + ("; Sunday is 7 at its end, as in 5-7" if name == "day-of-week" else "")


def _nearest_weekday(year: int, month: int, day: int) -> int | None:
    """The day that `day` followed by W means in a month, or None where the month has no such day."""
    length = monthrange(year, month)[1]
    if day > length:
        return None
    weekday = date(year, month, day).weekday()
    if weekday == 5:
        return day - 1 if day > 1 else 3
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day
