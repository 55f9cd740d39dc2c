"""A compiled schedule: a set of instants, asked for the next one."""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from scheduling.core.recurrence.patterns import Pattern
from scheduling.core.recurrence.rule import EARLIEST, LATEST, ONE_DAY
from scheduling.core.recurrence.zones import Segment, Zone

_SMALLEST = timedelta(microseconds=1)
_BEFORE_ALL = EARLIEST - ONE_DAY
# More than any wall time lies from the instant it names: an offset, and the day that Apia left out in 2011.
_REACH = 3 * ONE_DAY


@dataclass(slots=True, kw_only=True)
class Recurrence(ABC):
    """A set of instants with a cost of the next one that does not depend on the age of the anchor.

    `ends_at` and `added` (sorted) are naive UTC, `excluded` naive local; `sentence` is the schedule in English.
    """

    zone: Zone
    sentence: str
    ends_at: datetime | None = None
    added: tuple[datetime, ...] = ()
    excluded: frozenset[datetime] = frozenset()

    def next_after(self, after: datetime) -> datetime | None:
        """The first occurrence strictly after an aware instant, in UTC; None when the schedule has ended."""
        if after.year >= LATEST.year:
            return None
        instant = _naive(after) + _SMALLEST if after.year >= _BEFORE_ALL.year else _BEFORE_ALL
        found = self.rule_from(instant)
        at = bisect_left(self.added, instant)
        if at < len(self.added) and (found is None or self.added[at] < found):
            found = self.added[at]
        if found is None or found >= LATEST or (self.ends_at is not None and found > self.ends_at):
            return None
        return found.replace(tzinfo=UTC)

    def occurrences(self, after: datetime, limit: int) -> list[datetime]:
        """At most `limit` occurrences strictly after an aware instant."""
        found: list[datetime] = []
        following = self.next_after(after) if limit > 0 else None
        while following is not None:
            found.append(following)
            following = self.next_after(following) if len(found) < limit else None
        return found

    def remarks(self, start: datetime, end: datetime) -> list[str]:
        """What a reader should know about the occurrences between two instants: moved, doubled, left out."""
        low, high = _naive(start), _naive(end)
        excluded = [wall for wall in sorted(self.excluded) if low <= wall - self.zone.offset_at(wall) <= high]
        return [*self.transition_remarks(low, high), *(f"{_shown(wall)} is excluded." for wall in excluded)]

    def transition_remarks(self, start: datetime, end: datetime) -> Iterator[str]:
        """Remarks about changes of the zone's offset between two naive instants; none where elapsed time counts."""
        yield from ()

    def _is_excluded(self, instant: datetime) -> bool:
        return bool(self.excluded) and instant + self.zone.offset_at(instant) in self.excluded

    @abstractmethod
    def rule_from(self, instant: datetime) -> datetime | None:
        """The first of the rule's own instants at or after a naive one, before `ends_at` and `added` are looked at."""


@dataclass(slots=True, kw_only=True)
class WallRecurrence(Recurrence):
    """A pattern of wall times in a zone.

    A wall time that its zone leaves out is treated by `gap`, one that comes twice by `fold`. A pattern that follows
    elapsed time (every hour or finer) is the case of gap `skip` and fold `both`: each instant whose wall time matches.
    `until` is the last instant that the rule itself allows (UNTIL in UTC).
    """

    pattern: Pattern
    gap: str
    fold: str
    until: datetime | None = None
    follows_elapsed_time: bool = False

    def rule_from(self, instant: datetime) -> datetime | None:
        for segment in self.zone.segments_from(instant):
            found = self._first_in(segment, instant)
            if found is not None:
                return None if self.until is not None and found > self.until else found
            upcoming = self.pattern.next_from(segment.end + segment.offset - _REACH)
            if upcoming is None:
                return None
            if upcoming - _REACH > segment.end:
                return self.rule_from(upcoming - _REACH)
        return None

    def _first_in(self, segment: Segment, instant: datetime) -> datetime | None:
        """The first occurrence of a segment at or after `instant`."""
        moved = self._first_moved_into(segment, instant) if segment.before < segment.offset else None
        start = max(segment.start, instant) + segment.offset
        end = segment.end + segment.offset
        if self.fold == "first" and segment.before > segment.offset:
            start = max(start, segment.start + segment.before)
        if self.fold == "second" and segment.after < segment.offset:
            end = segment.end + segment.after
        wall = self.pattern.next_from(start)
        if wall is None or wall >= end:
            return moved
        return wall - segment.offset if moved is None else min(moved, wall - segment.offset)

    def _first_moved_into(self, segment: Segment, instant: datetime) -> datetime | None:
        """The first occurrence that was due in the gap before this segment and is moved into it."""
        if self.gap == "skip" or (self.gap == "next" and instant > segment.start):
            return None
        start = segment.start + segment.before if self.gap == "next" else max(segment.start, instant) + segment.before
        wall = self.pattern.next_from(start)
        if wall is None or wall >= segment.start + segment.offset:
            return None
        return segment.start if self.gap == "next" else wall - segment.before

    def transition_remarks(self, start: datetime, end: datetime) -> Iterator[str]:
        if self.follows_elapsed_time:
            return
        for segment in self.zone.segments_from(start - ONE_DAY):
            if segment.start > end:
                return
            if segment.start < start - ONE_DAY or segment.before == segment.offset:
                continue
            low, high = sorted((segment.start + segment.before, segment.start + segment.offset))
            wall = self.pattern.next_from(low)
            if wall is not None and wall < high:
                yield self._remark(wall, is_gap=segment.before < segment.offset)

    def _remark(self, wall: datetime, *, is_gap: bool) -> str:
        instants = self.zone.resolve(wall, gap=self.gap, fold=self.fold)
        if is_gap:
            moved = f"it is moved to {_shown(instants[0] + self.zone.offset_at(instants[0]))}" if instants else ""
            outcome = moved or "it is left out"
            return (
                f"{_shown(wall)} does not exist in {self.zone.name} (clocks go forward): {outcome} (gap: {self.gap})."
            )
        times = {"first": "once, the first time", "second": "once, the second time", "both": "both times"}[self.fold]
        return (
            f"{_shown(wall)} comes twice in {self.zone.name} (clocks go back): it occurs {times} (fold: {self.fold})."
        )


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def _shown(wall: datetime) -> str:
    return wall.isoformat(sep=" ", timespec="minutes" if not wall.second else "seconds")
