"""Time zones as a row of segments of constant offset, and wall times turned into instants.

Every question about daylight saving is answered from segments: within one, wall time and elapsed time agree, so a
search never has to reason about transitions, only to go on to the next segment. Instants and wall times are naive
`datetime`s here, in UTC and in local time: `wall = instant + segment.offset`.
"""

import difflib
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from operator import sub

from scheduling.core.recurrence.days import same_year_from
from scheduling.core.recurrence.rule import LATEST, ONE_DAY, ONE_SECOND, ScheduleError

# From here on every zone follows a rule of weekdays or dates: the last year that IANA lists one by one is 2087.
SETTLED = 2100

# Shorter than the distance of any two transitions that undo each other (Freetown in 1939, not quite four days).
_SCAN_STEP = 3 * ONE_DAY
_SCANNED = tuple(day * ONE_DAY for day in range(0, 365, _SCAN_STEP.days))
_SMALLEST = timedelta(microseconds=1)
_ONE_HOUR = timedelta(hours=1)
_PLACELESS = frozenset({"Factory", "localtime"})


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch [start, end) of instants with one offset; `before` and `after` are its neighbours' offsets.

    Segments also end with each calendar year, with `before == offset`, so that there is always a next one to go to.
    """

    start: datetime
    end: datetime
    before: timedelta
    offset: timedelta
    after: timedelta


class Zone:
    """One IANA zone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.info = zoneinfo.ZoneInfo(name)

    def segments_from(self, instant: datetime) -> Iterator[Segment]:
        """The segments that end after `instant`, in order, through the last supported year."""
        for year in range(instant.year, LATEST.year):
            for segment in _segments(self, year):
                if segment.end > instant:
                    yield segment

    def gaps_of(self, year: int) -> list[tuple[datetime, datetime]]:
        """The ranges of wall time that are left out by the transitions of a (UTC) year, in order."""
        return [
            (segment.start + segment.before, segment.start + segment.offset)
            for segment in _segments(self, year)
            if segment.before < segment.offset
        ]

    def offset_at(self, instant: datetime) -> timedelta:
        offset = instant.replace(tzinfo=UTC).astimezone(self.info).utcoffset()
        assert offset is not None
        return offset

    def has_change(self, start: int, end: int) -> bool:
        """True where the offset is another one behind the local days [start, end), ordinals, than before them."""
        first = datetime.fromordinal(start).replace(tzinfo=self.info)
        behind = datetime.fromordinal(end).replace(tzinfo=self.info, fold=1)
        return first.utcoffset() != behind.utcoffset()

    def to_wall(self, instant: datetime) -> datetime:
        """The naive local time of an aware instant."""
        return instant.astimezone(self.info).replace(tzinfo=None, fold=0)

    def begin_of(self, given: datetime) -> datetime:
        """A local time as the beginning of a range, an aware instant: the first that it can mean; in a gap the change,
        to which what is due there may be moved. One with an offset is an instant already."""
        return self._meant(given, gap="next", fold="first")

    def end_of(self, given: datetime) -> datetime:
        """The same as the end of a range, which belongs to it: the last instant that it can mean."""
        return self._meant(given, gap="shift", fold="second")

    def after(self, given: datetime) -> datetime:
        """The same as the instant behind which a range begins: as `begin_of`, but just before the change in a gap, for
        what is moved there comes after any time of the gap."""
        begin = self.begin_of(given)
        is_left_out = given.tzinfo is None and self.to_wall(begin) != given
        return begin - _SMALLEST if is_left_out else begin

    def _meant(self, given: datetime, *, gap: str, fold: str) -> datetime:
        if given.tzinfo is not None:
            return given.astimezone(UTC)
        return self.resolve(given, gap=gap, fold=fold)[0].replace(tzinfo=UTC)

    def resolve(self, wall: datetime, *, gap: str, fold: str) -> tuple[datetime, ...]:
        """The naive UTC instants that a wall time names: none, one, or (in a fold with `both`) two."""
        earlier, later = self._offsets_of(wall)
        if earlier == later:
            return (wall - earlier,)
        if earlier < later:
            if gap == "skip":
                return ()
            return (wall - earlier,) if gap == "shift" else (self._end_of_gap(wall, earlier, later),)
        first, second = wall - earlier, wall - later
        return {"first": (first,), "second": (second,), "both": (first, second)}[fold]

    def _offsets_of(self, wall: datetime) -> tuple[timedelta, timedelta]:
        """The offsets before and after the transition that makes `wall` ambiguous or void; else one offset twice."""
        local = wall.replace(tzinfo=self.info)
        earlier, later = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
        assert earlier is not None
        assert later is not None
        return earlier, later

    def _end_of_gap(self, wall: datetime, earlier: timedelta, later: timedelta) -> datetime:
        wall = wall.replace(microsecond=0)  # clocks change at whole seconds
        return _first_change(self, wall - later, wall - earlier, earlier)


@lru_cache(maxsize=1024)
def get_zone(name: str) -> Zone:
    """The zone of exactly this IANA name, or ScheduleError with the nearest names."""
    if name not in _names():
        raise ScheduleError("unknown_timezone", _describe_unknown(name), field="timezone", hint=_suggest(name))
    return Zone(name)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - _PLACELESS


def _describe_unknown(name: str) -> str:
    return f"{name[:64]!r} is not an IANA time zone name" if name else "The time zone is empty"


def _suggest(name: str) -> str:
    if not name or re.fullmatch(r"(UTC|GMT|Etc/GMT)? ?[+-].*", name, re.IGNORECASE):
        return "Name a place, such as Europe/Chisinau or America/New_York, or UTC; an offset does not know summer time"
    by_lower = {known.lower(): known for known in _names()}
    by_city = {known.rpartition("/")[2].lower(): known for known in sorted(_names(), reverse=True)}
    wanted = name[:64].lower().replace(" ", "_")
    near = [by_lower[found] for found in difflib.get_close_matches(wanted, by_lower, n=3, cutoff=0.75)]
    if not near:
        cities = difflib.get_close_matches(wanted.rpartition("/")[2], by_city, n=3, cutoff=0.8)
        near = [by_city[found] for found in cities]
    if not near:
        return "Name a place, such as Europe/Chisinau, or UTC"
    *others, last = near
    return f"Did you mean {', '.join(others)} or {last}?" if others else f"Did you mean {last}?"


@lru_cache(maxsize=8192)
def _segments(zone: Zone, year: int) -> tuple[Segment, ...]:
    like = same_year_from(SETTLED, year) if year > SETTLED else year
    if like != year:
        return _shifted(_segments(zone, like), datetime(year, 1, 1) - datetime(like, 1, 1))
    start, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)
    changes = _changes(zone, start, end)
    bounds = [start, *changes, end]
    offsets = [zone.offset_at(start - ONE_SECOND), *(zone.offset_at(bound) for bound in bounds)]
    return tuple(
        Segment(bounds[at], bounds[at + 1], offsets[at], offsets[at + 1], offsets[at + 2])
        for at in range(len(bounds) - 1)
    )


def _shifted(segments: tuple[Segment, ...], by: timedelta) -> tuple[Segment, ...]:
    return tuple(Segment(each.start + by, each.end + by, each.before, each.offset, each.after) for each in segments)


def _changes(zone: Zone, start: datetime, end: datetime) -> list[datetime]:
    changes: list[datetime] = []
    # `fromutc` takes UTC in a datetime that is said to be local, and is ten times as fast as `offset_at`.
    first, last = (at.replace(tzinfo=zone.info) for at in (start, end))
    scanned = [*map(first.__add__, _SCANNED), last]
    offsets = list(map(sub, map(zone.info.fromutc, scanned), scanned))
    for at in [at for at, (low, high) in enumerate(pairwise(offsets)) if low != high]:
        low, offset = scanned[at].replace(tzinfo=None), offsets[at]
        while offset != offsets[at + 1]:
            low = _first_change(zone, low, scanned[at + 1].replace(tzinfo=None), offset)
            offset = zone.offset_at(low)
            if low < end:
                changes.append(low)
    return changes


def _first_change(zone: Zone, low: datetime, high: datetime, offset: timedelta) -> datetime:
    """The transition in (low, high], to the second, given that `offset` holds at `low` and not at `high`."""
    for step in (_ONE_HOUR, ONE_SECOND):
        while high - low > step:
            middle = low + (high - low) // step // 2 * step
            if zone.offset_at(middle) == offset:
                low = middle
            else:
                high = middle
        if zone.offset_at(high - ONE_SECOND) == offset:  # most often a whole hour
            return high
    return high
