"""Several rules in one schedule, a line each: the instants of all of them, as a set.

RFC 5545 lets a component have more than one RRULE; the recurrence set is their union, less the exclusions (3.8.5.3).
COUNT and UNTIL of a line end that line alone.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import merge

from scheduling.core.recurrence.base import Recurrence
from scheduling.core.recurrence.context import Context
from scheduling.core.recurrence.elapsed import SEARCH_YEARS
from scheduling.core.recurrence.rule import ScheduleError
from scheduling.core.recurrence.sentences import in_zone

MAX_LINES = 20
# A COUNT is worked out by going through what it counts, up to some 10 ms of it.
MAX_COUNTS = 5
_COUNT = re.compile(r"\bCOUNT\s*=", re.ASCII | re.IGNORECASE)
_SEARCHED = timedelta(days=SEARCH_YEARS * 365)
_LAST_SEARCHED = datetime.max - _SEARCHED
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(slots=True, kw_only=True)
class UnionRecurrence(Recurrence):
    """What any member names. Members know the exclusions, which are one set for all; the rest is asked for here.

    The last answer of each member is kept with the instant that was asked: a schedule that fires moves on in one or
    two members, and what the others say still holds. An entry is replaced whole, so that threads may share one.

    A member whose next instant is too dear to find keeps no other from firing: it is searched as far as the nearest of
    the others.
    """

    members: tuple[Recurrence, ...]
    _known: list["_Known | None"] = field(init=False, repr=False)
    _dear: set[int] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        self._known = [None] * len(self.members)

    @property
    def is_void(self) -> bool:
        return all(member.is_void for member in self.members)

    def rule_from(self, instant: datetime) -> datetime | None:
        nearest = datetime.max
        for at in range(len(self.members)):
            if at not in self._dear:
                try:
                    nearest = min(nearest, self._of_member(at, instant, datetime.max) or datetime.max)
                except ScheduleError:
                    self._dear.add(at)
        for at in sorted(self._dear):
            nearest = min(nearest, self._of_member(at, instant, nearest) or datetime.max)
        return None if nearest == datetime.max else nearest

    @property
    def own_end(self) -> datetime | None:
        ends = [member.own_end for member in self.members]
        return None if None in ends else max(end for end in ends if end is not None)

    @property
    def counted_from(self) -> datetime | None:
        return next((each.counted_from for each in self.members if each.counted_from is not None), None)

    def walls_in(self, start: datetime, end: datetime) -> Iterator[datetime]:
        yield from merge(*(each.walls_in(start, end) for each in self.members))

    def free_day_from(self, day: int, end_of: Callable[[int], int | None]) -> int | None:
        """Known where every member knows its own, or has no further day."""
        nearest: int | None = None
        for each in self.members:
            found = each.free_day_from(day, end_of)
            if found is None:
                return None
            nearest = found if nearest is None else min(nearest, found)
        return nearest

    def _of_member(self, at: int, instant: datetime, end: datetime) -> datetime | None:
        """Its first instant, None where it has none up to `end`."""
        known = self._known[at]
        if known is not None and known.asked <= instant <= known.until and (known.found or end <= known.until):
            return known.found
        found = self.members[at].rule_within(instant, end)
        # A search that finds nothing has looked so far only.
        searched = min(end, instant + _SEARCHED if instant < _LAST_SEARCHED else datetime.max)
        self._known[at] = _Known(instant, searched if found is None else found, found)
        return found


@dataclass(frozen=True, slots=True)
class _Known:
    """From `asked` to `until` there is nothing but `found`, which is `until` where it is not None."""

    asked: datetime
    until: datetime
    found: datetime | None


def lines_of(expression: str) -> list[tuple[int, str]]:
    """The rules of an expression with the numbers of their lines, from 1."""
    return [(number, line) for number, line in enumerate(_LINE_END.split(expression), start=1) if line.strip()]


def compile_lines(
    compile_line: Callable[[str, Context], Recurrence], expression: str, context: Context, *, code: str
) -> Recurrence:
    """Compile an expression of one rule or of several, one a line; empty lines say nothing.

    ScheduleError with `code` for more than `MAX_LINES` rules, and the error of a line, whose number it then names.
    """
    lines = lines_of(expression)
    if len(lines) < 2:
        return compile_line(expression, context)
    if len(lines) > MAX_LINES:
        raise ScheduleError(
            code,
            f"A schedule has at most {MAX_LINES} rules, here are {len(lines)}",
            field="expression",
            hint="Join the rules that differ in one part only, or make a second schedule of the task",
        )
    if sum(_COUNT.search(line) is not None for _, line in lines) > MAX_COUNTS:
        raise ScheduleError(
            code,
            f"At most {MAX_COUNTS} rules of a schedule have a COUNT",
            field="expression",
            hint="Say with UNTIL when a rule ends, or make a second schedule of the task",
        )
    # A line that is said twice is one.
    distinct = {line.strip(): number for number, line in reversed(lines)}
    alone = replace(context, ends_at=None, added=(), lines=len(distinct))
    members = tuple(_compile_numbered(compile_line, number, line, alone) for line, number in reversed(distinct.items()))
    return UnionRecurrence(
        zone=context.zone,
        sentence=_joined([member.sentence for member in members], context.zone.name),
        ends_at=context.ends_at,
        added=context.added,
        excluded=context.excluded,
        is_finite=all(member.is_finite for member in members),
        members=members,
    )


def _compile_numbered(
    compile_line: Callable[[str, Context], Recurrence], number: int, line: str, context: Context
) -> Recurrence:
    try:
        return compile_line(line, context)
    except ScheduleError as error:
        if error.field != "expression":
            raise
        raise ScheduleError(error.code, f"Line {number}: {error.detail}", field=error.field, hint=error.hint) from error


def _joined(sentences: list[str], zone: str) -> str:
    """Every weekday at 08:00; and every Saturday at 10:00 (Europe/Chisinau)."""
    said = list(dict.fromkeys(sentence.removesuffix(in_zone("", zone)) for sentence in sentences))
    return in_zone("; and ".join([said[0], *(f"{each[0].lower()}{each[1:]}" for each in said[1:])]), zone)
