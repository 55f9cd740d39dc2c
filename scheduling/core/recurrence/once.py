"""Once: a single instant, or a local time that the schedule's zone makes one of."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from scheduling.core.recurrence.base import Recurrence
from scheduling.core.recurrence.context import Context
from scheduling.core.recurrence.rule import ScheduleError, require_supported_year
from scheduling.core.recurrence.sentences import in_zone

_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-5][0-9])?", re.ASCII
)


@dataclass(slots=True, kw_only=True)
class OnceRecurrence(Recurrence):
    """The instants (naive UTC, sorted) of one time: one, or two where a fold is taken `both` times.

    `wall` is the local time that was given, None where an instant was.
    """

    instants: tuple[datetime, ...]
    wall: datetime | None

    @property
    def own_end(self) -> datetime | None:
        behind = () if self.wall is None else self.zone.resolve(self.wall, gap="shift", fold="both")
        return max((*self.instants, *behind), default=None)

    def rule_from(self, instant: datetime) -> datetime | None:
        return next((at for at in self.instants if at >= instant), None)

    def walls_in(self, start: datetime, end: datetime) -> Iterator[datetime]:
        if self.wall is not None and start <= self.wall < end:
            yield self.wall


def compile_once(expression: str, context: Context) -> OnceRecurrence:
    """Read and compile a time, or raise ScheduleError `invalid_once` or `never_occurs`."""
    given = parse_instant(expression.strip(), field="expression", code="invalid_once")
    wall = given if given.tzinfo is None else None
    if wall is None:
        instants: tuple[datetime, ...] = (given.astimezone(UTC).replace(tzinfo=None),)
    else:
        instants = context.zone.resolve(wall, gap=context.gap, fold=context.fold)
    is_named_excluded = wall is not None and wall.replace(microsecond=0) in context.excluded
    instants = () if is_named_excluded else tuple(at for at in instants if not context.excludes(at))
    if not instants and not context.added:
        raise ScheduleError(
            "never_occurs",
            "This time is excluded, or left out by its zone and skipped",
            field="expression",
            hint="Choose another time, or gap: shift",
        )
    shown = instants[0] + context.zone.offset_at(instants[0]) if instants else wall or context.zone.to_wall(given)
    return OnceRecurrence(
        zone=context.zone,
        sentence=in_zone(f"Once, on {shown:%A} {shown.day} {shown:%B %Y} at {shown:%H:%M:%S}", context.zone.name),
        ends_at=context.ends_at,
        added=context.added,
        excluded=context.excluded,
        is_finite=True,
        instants=instants,
        wall=wall,
    )


def parse_instant(text: str, *, field: str, code: str = "invalid_datetime") -> datetime:
    """Read a full ISO 8601 date and time, aware if it has an offset or Z, or raise ScheduleError with `code`."""
    hint = "Write 2025-12-25T10:00:00Z, 2025-12-25T10:00:00+02:00, or a local time without an offset"
    if not _INSTANT.fullmatch(text):
        raise ScheduleError(code, f"{text[:40]!r} is not an ISO 8601 date and time", field=field, hint=hint)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise ScheduleError(code, f"{text!r} is not a time of the calendar: {error}", field=field, hint=hint) from None
    require_supported_year(parsed, field=field)
    return parsed
