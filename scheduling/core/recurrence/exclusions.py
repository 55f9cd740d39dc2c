"""Exclusion calendars: days and spans of time in which nothing occurs, made for search by jumps.

An occurrence whose local date is among the days, or whose instant lies in [from, to) of a span, does not occur. COUNT
counts it all the same, as EXDATE does. Whoever searches jumps to the end of what excludes an instant, so that a rule
of every second costs one step for a year of excluded days.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from scheduling.core.recurrence.rule import ONE_DAY
from scheduling.core.recurrence.zones import Zone

# Jumps that one search may need, at some 20 microseconds each, over all calendars of a rule.
MAX_STRETCHES = 1_000

_ORIGIN = datetime(1, 1, 1)

Stretch = tuple[datetime, datetime]


class Exclusions:
    """One calendar as a value: equal content is equal, and the hash is computed once. Never changed.

    `days` are runs [first, behind the last) of day ordinals, `spans` are naive UTC [from, to); both sorted, neither
    overlapping nor touching. `name` is what notes call the calendar. `known_until`, naive UTC, is where what is known
    of it ends; None where all is known.
    """

    __slots__ = ("_day_starts", "_hash", "_span_starts", "days", "known_until", "name", "spans")

    def __init__(
        self,
        name: str,
        *,
        days: Iterable[date] = (),
        spans: Iterable[Stretch] = (),
        known_until: datetime | None = None,
    ) -> None:
        """`spans` are pairs of aware instants; those without length exclude nothing. `known_until` is aware."""
        self.name = name
        self.known_until = None if known_until is None else _naive(known_until)
        self.days = tuple(_merged((day.toordinal(), day.toordinal() + 1) for day in days))
        self.spans = tuple(_merged((_naive(start), _naive(end)) for start, end in spans if start < end))
        self._day_starts = [start for start, _ in self.days]
        self._span_starts = [start for start, _ in self.spans]
        self._hash = hash((name, self.days, self.spans, self.known_until))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Exclusions) or self._hash != other._hash:
            return NotImplemented if not isinstance(other, Exclusions) else False
        mine = (self.name, self.days, self.spans, self.known_until)
        return mine == (other.name, other.days, other.spans, other.known_until)

    def __repr__(self) -> str:
        return f"Exclusions({self.name!r}, {len(self.days)} runs of days, {len(self.spans)} spans)"

    @classmethod
    def of_words(cls, words: Mapping[str, Any]) -> "Exclusions":
        """What `as_words` was made of. KeyError, TypeError or ValueError for anything else."""
        days = (date.fromordinal(day) for start, end in words["days"] for day in range(start, end))
        spans = (tuple(datetime.fromisoformat(bound) for bound in span) for span in words["spans"])
        until = words.get("known_until")
        return cls(
            words["name"],
            days=days,
            spans=((start, end) for start, end in spans),
            known_until=None if until is None else datetime.fromisoformat(until),
        )

    def as_words(self) -> dict[str, Any]:
        """The value as a JSON object: runs of day ordinals, spans of instants."""
        spans = [[f"{bound.isoformat()}+00:00" for bound in span] for span in self.spans]
        until = None if self.known_until is None else f"{self.known_until.isoformat()}+00:00"
        return {"name": self.name, "days": [list(run) for run in self.days], "spans": spans, "known_until": until}

    @property
    def stretches(self) -> int:
        """How many jumps a search may need at most."""
        return len(self.days) + len(self.spans)

    def end_of(self, instant: datetime, zone: Zone) -> datetime | None:
        """Where what excludes a naive instant ends, later than it; None where nothing does.

        The end is exact within the zone's segment of constant offset: behind a change of the clocks, ask again.
        """
        ends = [end for end in (self._end_of_span(instant), self._end_of_days(instant, zone)) if end is not None]
        return max(ends, default=None)

    def between(self, start: datetime, end: datetime, zone: Zone) -> list[Stretch]:
        """The excluded stretches that touch [start, end], naive instants; each day is one of its own."""
        found = [stretch for stretch in self.spans if stretch[0] <= end and stretch[1] > start]
        low = (start + zone.offset_at(start)).toordinal()
        high = (end + zone.offset_at(end)).toordinal()
        for first, behind in self.days:
            for day in range(max(first, low), min(behind, high + 1)):
                found.append((_midnight(day, zone), _midnight(day + 1, zone)))
        return sorted(found)

    def end_of_days(self, day: int) -> int | None:
        """Behind the last of the excluded days in a row that an ordinal is one of; None where it is none."""
        at = bisect_right(self._day_starts, day) - 1
        return self.days[at][1] if at >= 0 and day < self.days[at][1] else None

    def _end_of_span(self, instant: datetime) -> datetime | None:
        at = bisect_right(self._span_starts, instant) - 1
        return self.spans[at][1] if at >= 0 and instant < self.spans[at][1] else None

    def _end_of_days(self, instant: datetime, zone: Zone) -> datetime | None:
        if not self.days:
            return None
        offset = zone.offset_at(instant)
        day = (instant + offset).toordinal()
        at = bisect_right(self._day_starts, day) - 1
        if at < 0 or day >= self.days[at][1]:
            return None
        end = _ORIGIN + timedelta(days=self.days[at][1] - 1) - offset
        segment = next(iter(zone.segments_from(instant)))
        return min(end, segment.end)


def _merged(ranges: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Sorted ranges, those that overlap or touch made one."""
    merged: list[tuple[Any, Any]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _midnight(day: int, zone: Zone) -> datetime:
    """The first instant, naive UTC, of a day; the first after it where the zone leaves midnight out."""
    return zone.resolve(_ORIGIN + (day - 1) * ONE_DAY, gap="next", fold="first")[0]


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
