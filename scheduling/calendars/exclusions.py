"""Calendars as the values that rules carry. Reads the database; what was read is kept as long as it is current."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from scheduling.calendars.models import Calendar
from scheduling.core.recurrence import Exclusions, ScheduleError


def exclusions_of(ids: Iterable[UUID]) -> dict[UUID, Exclusions]:
    """The calendars of these ids, one query for all and one for each that is new or has changed.

    An id that is missing from the answer is no calendar.
    """
    wanted = set(ids)
    if not wanted:
        return {}
    current = Calendar.objects.filter(pk__in=wanted).values_list("pk", "version", "updated_at")
    return {pk: _read(pk, version, updated_at) for pk, version, updated_at in current}


def in_order(ids: Sequence[UUID], known: Mapping[UUID, Exclusions]) -> tuple[Exclusions, ...]:
    """The values of a schedule's calendars; ScheduleError where one is missing."""
    missing = [each for each in ids if each not in known]
    if missing:
        raise ScheduleError("unknown_calendar", f"There is no calendar {missing[0]} any more", field="calendars")
    return tuple(known[each] for each in ids)


def value_of(calendar: Calendar) -> Exclusions:
    return Exclusions(
        calendar.key,
        days=calendar.days,
        spans=zip(calendar.spans_from, calendar.spans_to, strict=True),
        known_until=calendar.expanded_until,
    )


@lru_cache(maxsize=512)
def _read(pk: UUID, _version: int, _updated_at: datetime) -> Exclusions:
    """Kept by version and time of change: a version that was rolled back is written again with other days."""
    return value_of(Calendar.objects.get(pk=pk))
