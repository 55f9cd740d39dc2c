"""A year of a zone, minute by minute: what every wall clock there shows, asked of zoneinfo alone.

The oracle of `test_a_year_of_zones`. It looks at each minute and keeps lists; nothing here knows of recurrences.
Minutes are whole numbers: of instants since 1970 in UTC, of wall times since 1970 on the wall clock.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAY = 1440
_EPOCH = datetime(1970, 1, 1)


def minute_of(wall: datetime) -> int:
    return (wall - _EPOCH) // timedelta(minutes=1)


def instant_of(minute: int) -> datetime:
    return (_EPOCH + timedelta(minutes=minute)).replace(tzinfo=UTC)


def _walls(info: ZoneInfo, start: int, end: int) -> list[int]:
    one = timedelta(minutes=1)
    at = (_EPOCH + timedelta(minutes=start)).replace(tzinfo=info)
    walls = []
    for instant in range(start, end):
        # Between two times of one zone, Python subtracts the wall clocks: here the offset from UTC.
        walls.append(instant + (info.fromutc(at) - at) // one)
        at += one
    return walls


class Year:
    """Every minute of a calendar year in UTC, with what the zone's wall clock shows."""

    def __init__(self, zone: str, year: int) -> None:
        info = ZoneInfo(zone)
        self.start = minute_of(datetime(year, 1, 1))
        self.end = minute_of(datetime(year + 1, 1, 1))
        self.walls = _walls(info, self.start, self.end)
        self.by_time_of_day: dict[int, list[int]] = defaultdict(list)
        self.jumps: list[tuple[int, int, int]] = []
        """(instant, wall expected, wall shown) where the clock does not simply go on."""
        previous = self.walls[0] - 1
        for at, wall in enumerate(self.walls):
            self.by_time_of_day[wall % DAY].append(self.start + at)
            if wall != previous + 1:
                self.jumps.append((self.start + at, previous + 1, wall))
            previous = wall

    def wall(self, instant: int) -> int:
        return self.walls[instant - self.start]

    def daily(self, time_of_day: int, *, gap: str, fold: str) -> list[int]:
        """The instants of a time of day on every day of the wall clock."""
        seen: dict[int, list[int]] = defaultdict(list)
        for instant in self.by_time_of_day[time_of_day]:
            seen[self.wall(instant)].append(instant)
        found = set()
        for instants in seen.values():
            found.update({"first": instants[:1], "second": instants[-1:], "both": instants}[fold])
        for instant, expected, shown in self.jumps:
            for missing in range(expected, shown):
                if missing % DAY == time_of_day and gap != "skip":
                    found.add(instant if gap == "next" else instant + missing - expected)
        return sorted(found)

    def where(self, shows: Callable[[int], bool], *, every: int = 1) -> list[int]:
        """The instants at which the wall clock shows a time of day that passes, `every` so many minutes of the year."""
        found = (
            instant
            for time_of_day, instants in self.by_time_of_day.items()
            if shows(time_of_day)
            for instant in instants
            if (instant - self.start) % every == 0
        )
        return sorted(found)
