"""A compiled schedule: a set of instants, asked for the next one."""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from scheduling.core.recurrence.exclusions import Exclusions
from scheduling.core.recurrence.patterns import BoundedPattern, Pattern
from scheduling.core.recurrence.rule import EARLIEST, LATEST, ONE_DAY, ONE_SECOND, REACH, ScheduleError
from scheduling.core.recurrence.zones import Segment, Zone

_SMALLEST = timedelta(microseconds=1)
_BEFORE_ALL = EARLIEST - ONE_DAY
_MAX_NOTED = 10
_LONG_LEAP = 2  # jumps: what needs more looks at days alone, and is kept
# A wall time lies within a day of its instant, and what a gap moves within a day of where it was due.
_SIDE_DAYS = 2
# Fewer days than lie between two changes of a zone that undo each other.
_LONGEST_PASSED = 20
_NO_DAY = LATEST.toordinal()
# Ends the search of a rule all of whose times fall into gaps: so many in a row, at most one or two a year. After 28
# years dates and weekdays agree again, and with them the days on which clocks change.
_MOST_LEAPS = 60


@dataclass(slots=True, kw_only=True)
class Recurrence(ABC):
    """A set of instants with a cost of the next one that does not depend on the age of the anchor.

    `ends_at` and `added` (sorted) are naive UTC, `excluded` naive local; `sentence` is the schedule in English. What
    `calendars` exclude is left out last: COUNT has counted it, and additions are left out too. `has_times` is False for
    kinds that wait for something to happen. `is_finite`: the rule has an end of its own (COUNT, UNTIL, a `once`).
    """

    has_times: ClassVar[bool] = True

    zone: Zone
    sentence: str
    ends_at: datetime | None = None
    added: tuple[datetime, ...] = ()
    excluded: frozenset[datetime] = frozenset()
    calendars: tuple[Exclusions, ...] = ()
    is_finite: bool = False
    _leap: tuple[datetime, datetime | None] | None = field(default=None, init=False, repr=False, compare=False)

    def next_after(self, after: datetime) -> datetime | None:
        """The first occurrence strictly after an aware instant, in UTC; None when the schedule has ended."""
        if after.year >= LATEST.year:
            return None
        instant = _naive(after) + _SMALLEST if after.year >= _BEFORE_ALL.year else _BEFORE_ALL
        found = self._first_from(instant)
        if found is not None and self.calendars:
            found = self._first_not_excluded(found)
        return None if found is None else found.replace(tzinfo=UTC)

    def require_next(self, after: datetime) -> datetime | None:
        """`next_after`; ScheduleError where that is None and the schedule has no end: what it names is left out for
        ever, by the zone's rules as they have become, or by calendars."""
        found = self.next_after(after)
        if found is None and self.has_times and not self.is_finite and self.ends_at is None:
            raise never_occurs("Nothing of this schedule occurs any more")
        return found

    def occurrences(self, after: datetime, limit: int) -> list[datetime]:
        """At most `limit` occurrences strictly after an aware instant."""
        found: list[datetime] = []
        following = self.next_after(after) if limit > 0 else None
        while following is not None:
            found.append(following)
            following = self.next_after(following) if len(found) < limit else None
        return found

    def names(self, instant: datetime) -> bool:
        """True where a naive instant of whole seconds is an occurrence, or would be but for a calendar."""
        found = self._first_from(instant)
        return found is not None and found - instant < ONE_SECOND

    def rule_within(self, instant: datetime, end: datetime) -> datetime | None:
        """What `rule_from` gives; where that is behind `end`, perhaps None, when it would be dear to find."""
        return self.rule_from(instant)

    @property
    def counted_from(self) -> datetime | None:
        """The naive UTC instant from which elapsed time is counted; None where local times count."""
        return None

    @property
    def own_end(self) -> datetime | None:
        """A naive UTC instant after which the rule itself names nothing (COUNT, UNTIL, a `once`); None: no such end.
        Of what the zone leaves out it is where a gap of `shift` would move it."""
        return None

    def walls_in(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The wall times in [start, end) that the rule names, in order; none where elapsed time counts."""
        yield from ()

    @property
    def is_void(self) -> bool:
        """True where the rule itself, without additions, names no instant at all, because its zone has none for any of
        its wall times."""
        return False

    def _is_excluded(self, instant: datetime) -> bool:
        """True where an exclusion names the local time at which the instant would be shown."""
        return bool(self.excluded) and instant + self.zone.offset_at(instant) in self.excluded

    def _first_from(self, instant: datetime) -> datetime | None:
        """The first instant at or after a naive one that the rule or an addition names, before the schedule's end."""
        found = self.rule_from(instant)
        at = bisect_left(self.added, instant)
        if at < len(self.added) and (found is None or self.added[at] < found):
            found = self.added[at]
        if found is None or found >= LATEST or (self.ends_at is not None and found > self.ends_at):
            return None
        return found

    def _first_not_excluded(self, first: datetime) -> datetime | None:
        """The first of the occurrences from `first` on, itself one, that no calendar excludes.

        A leap over many excluded ones is kept: whoever asks from within it again is told at once.
        """
        kept = self._leap
        if kept is not None and kept[0] <= first and (kept[1] is None or first < kept[1]):
            return kept[1]
        found: datetime | None = first
        jumps = 0
        while found is not None and (beyond := self._end_of_exclusion(found)) is not None:
            jumps += 1
            found = self._first_from(self._leap_from(beyond) if jumps > _LONG_LEAP else beyond)
        if jumps > _LONG_LEAP:
            self._leap = (first, found)
        return found

    def _leap_from(self, instant: datetime) -> datetime:
        """An instant, not before the given one, from which on a search finds the same first not excluded occurrence.

        Days that the rule names and that calendars exclude are passed over by their date alone, without their instants.
        """
        day = self.free_day_from(instant.toordinal() - _SIDE_DAYS, self._end_of_days)
        if day is None:
            return instant
        leap = max(instant, datetime.fromordinal(day) - _SIDE_DAYS * ONE_DAY)
        at = bisect_left(self.added, instant)
        return min(leap, self.added[at]) if at < len(self.added) else leap

    def free_day_from(self, day: int, end_of: Callable[[int], int | None]) -> int | None:
        """The first day from `day` on that the rule may name and that must be looked at: not excluded, or with a change
        of the clocks, which may move what it names to another day. `LATEST` where there is none; None where the kind
        does not know its days.

        `end_of` tells where the excluded days end that a day is one of, None for a free one.
        """
        return None

    def _end_of_days(self, day: int) -> int | None:
        ends = [end for each in self.calendars if (end := each.end_of_days(day)) is not None]
        return max(ends, default=None)

    def _end_of_exclusion(self, instant: datetime) -> datetime | None:
        """Where what excludes a naive instant ends; None where no calendar does."""
        ends = [end for each in self.calendars if (end := each.end_of(instant, self.zone)) is not None]
        return max(ends, default=None)

    def calendar_remarks(self, start: datetime, end: datetime) -> list[str]:
        """One remark for each day or span that keeps something from occurring, at most `_MAX_NOTED` of a calendar, and
        one where what is known of a calendar ends before `end`."""
        remarks: list[str] = []
        for calendar in self.calendars:
            noted = 0
            for low, high in calendar.between(start, end, self.zone):
                at = self._first_from(max(low, start))
                if at is None or noted == _MAX_NOTED:
                    break
                if at < high and at <= end:
                    noted += 1
                    wall = shown(at + self.zone.offset_at(at))
                    remarks.append(f"{wall} is excluded by calendar {calendar.name}.")
            if calendar.known_until is not None and calendar.known_until < end:
                until = calendar.known_until + self.zone.offset_at(calendar.known_until)
                remarks.append(
                    f"Calendar {calendar.name} is read up to {until:%Y-%m-%d}: it may exclude more after it."
                )
        return remarks

    @abstractmethod
    def rule_from(self, instant: datetime) -> datetime | None:
        """The first of the rule's own instants at or after a naive one, before `ends_at` and `added` are looked at."""


@dataclass(slots=True, kw_only=True)
class WallRecurrence(Recurrence):
    """A pattern of wall times in a zone.

    A wall time that its zone leaves out is treated by `gap`, one that comes twice by `fold`. A pattern that follows
    elapsed time (every hour or finer) is the case of gap `skip` and fold `both`: each instant whose wall time matches.
    `until` is the last instant that the rule itself allows (UNTIL in UTC), `last` the last wall time (COUNT, local
    UNTIL); both, and `excluded`, are laid over the `pattern` that is given.
    """

    pattern: Pattern
    gap: str
    fold: str
    until: datetime | None = None
    last: datetime | None = None
    follows_elapsed_time: bool = False
    _is_void: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._is_void = self._falls_into_gaps()
        if self.excluded or self.last is not None:
            self.pattern = BoundedPattern(self.pattern, self.excluded, self.last)

    @property
    def is_void(self) -> bool:
        return self._is_void

    def rule_from(self, instant: datetime) -> datetime | None:
        while not self._is_void:
            found = self._named_from(instant)
            if found is None or (self.until is not None and found > self.until):
                return None
            # The pattern leaves out what is due at an excluded time; this may be moved to one.
            if not self._is_excluded(found):
                return found
            instant = found + ONE_SECOND
        return None

    @property
    def own_end(self) -> datetime | None:
        if self.until is not None or self.last is None:
            return self.until
        return max(self.zone.resolve(self.last, gap="shift", fold="both"))

    def walls_in(self, start: datetime, end: datetime) -> Iterator[datetime]:
        if self.until is not None:
            # A wall time behind this one lies behind `until` also where it comes twice.
            offset = max(self.zone.offset_at(at) for at in (self.until - REACH, self.until))
            end = min(end, self.until + offset + ONE_SECOND)
        wall = None if self.follows_elapsed_time or start >= end else self.pattern.next_from(start)
        while wall is not None and wall < end:
            instants = self.zone.resolve(wall, gap=self.gap, fold=self.fold)
            if self.until is None or not instants or instants[0] <= self.until:
                yield wall
            wall = self.pattern.next_from(wall + ONE_SECOND)

    def free_day_from(self, day: int, end_of: Callable[[int], int | None]) -> int | None:
        while (wall := self.pattern.next_from(datetime.fromordinal(day))) is not None:
            day = wall.toordinal()
            end = end_of(day)
            if end is None or end - day > _LONGEST_PASSED or self.zone.has_change(day, end):
                return day
            day = end
        return _NO_DAY

    def _falls_into_gaps(self) -> bool:
        if self.gap != "skip":
            return False
        first = self.pattern.next_from(EARLIEST)
        return first is not None and self._named_from(first - REACH) is None

    def _named_from(self, instant: datetime) -> datetime | None:
        """The first instant of the pattern at or after a naive one. A leap from one wall time to the next that finds
        nothing has passed a gap."""
        start: datetime | None = instant
        for _ in range(_MOST_LEAPS):
            if start is None:
                break
            found, start = self._named_near(start)
            if found is not None:
                return found
        return None

    def _named_near(self, instant: datetime) -> tuple[datetime | None, datetime | None]:
        """The first instant of the pattern in the segments from `instant` on, as far as wall times are near their ends;
        or where to look on. Neither: there is none."""
        for segment in self.zone.segments_from(instant):
            found = self._first_in(segment, instant)
            if found is not None:
                return found, None
            upcoming = self.pattern.next_from(segment.end + segment.offset - REACH)
            if upcoming is None:
                break
            if upcoming - REACH > segment.end:
                return None, upcoming - REACH
        return None, None

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


def never_occurs(detail: str) -> ScheduleError:
    """The error of a valid rule of whose times its zone, or what excludes them, leaves none."""
    return ScheduleError(
        "never_occurs",
        detail,
        field="expression",
        hint="Choose times that its zone has on these days, or a gap policy that moves them",
    )


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def shown(wall: datetime) -> str:
    """A wall time for people, with seconds where it has any."""
    return wall.isoformat(sep=" ", timespec="minutes" if not wall.second else "seconds")
