"""A whole year in zones with odd rules, against every minute of it as zoneinfo has it.

The slow truth uses nothing of ours: a table of what the local clock shows at each minute of UTC, from which the
instants of a wall time are looked up, and gaps and folds are seen.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduling.core.recurrence import Rule, compile_rule
from tests.effort import in_torture_also

YEARS = [
    ("Australia/Lord_Howe", 2025),  # half an hour of summer time
    ("Pacific/Apia", 2011),  # 30 December is left out
    ("Africa/Casablanca", 2025),  # winter time in Ramadan
    ("Asia/Kathmandu", 2025),  # +05:45
    ("Pacific/Chatham", 2025),  # +12:45, changes at 02:45
    ("America/St_Johns", 2025),  # -03:30
    ("Antarctica/Troll", 2025),  # two hours of summer time
    ("Europe/Dublin", 2025),  # winter time is the exception
    ("America/Havana", 2025),  # changes at midnight
    ("Asia/Beirut", 2025),  # changes at midnight
    ("Africa/Cairo", 2025),  # changes at the end of a day
    ("America/Asuncion", 2024),  # its last change, to summer for good
    ("Asia/Tehran", 2022),  # its last summer, at midnight
    ("Europe/Chisinau", 2025),  # changes an hour before its neighbours
    ("Europe/Berlin", 2025),
    ("America/New_York", 2025),
    ("Australia/Sydney", 2025),
    ("America/Sao_Paulo", 2018),  # changes at midnight
    ("America/Nuuk", 2023),  # another offset for good
    ("Pacific/Easter", 2025),  # changes on a Saturday evening
    ("Asia/Kolkata", 2025),  # +05:30
    ("Asia/Pyongyang", 2018),  # +08:30 to +09:00 one night
]
MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GAPS, FOLDS = ("shift", "next", "skip"), ("first", "second", "both")
HOURS, MINUTES = (0, 2, 23), (0, 40)


class Clock:
    """What the local clock shows at each minute of a year, three days more at both ends. All in minutes since 1970."""

    def __init__(self, zone: str, year: int) -> None:
        info = ZoneInfo(zone)
        self.start = minute_of(datetime(year, 1, 1, tzinfo=UTC)) - 3 * 1440
        self.end = minute_of(datetime(year + 1, 1, 1, tzinfo=UTC)) + 3 * 1440
        self.shown: list[int] = []
        self.instants: dict[int, int] = {}
        self.second_instants: dict[int, int] = {}
        shift = offset(info, self.start)
        for hour in range(self.start, self.end, 60):
            # Every minute is asked where the hour changes the offset, the others follow from its ends.
            following = offset(info, hour + 60)
            minutes = range(hour, hour + 60)
            shifts = [shift] * 60 if shift == following else [offset(info, minute) for minute in minutes]
            walls = [minute + each for minute, each in zip(minutes, shifts, strict=True)]
            self.shown += walls
            for wall, minute in zip(walls, minutes, strict=True):
                if self.instants.setdefault(wall, minute) != minute:
                    self.second_instants[wall] = minute
            shift = following

    def at(self, minute: int) -> int:
        return self.shown[minute - self.start]

    def resolve(self, wall: int, gap: str, fold: str) -> list[int]:
        if wall in self.instants:
            found = [self.instants[wall], self.second_instants.get(wall, self.instants[wall])]
            return {"first": found[:1], "second": found[1:], "both": found}[fold]
        after = next(minute for minute in range(wall - 1440, self.end) if self.at(minute) > wall >= self.at(minute - 1))
        before = self.at(after - 1) - (after - 1)
        return {"shift": [wall - before], "next": [after], "skip": []}[gap]

    def days(self) -> range:
        """The local midnights, of each day that is whole here."""
        return range(self.start + 1440, self.end - 1440, 1440)

    def matching(self, matches: Callable[[int], bool]) -> list[int]:
        """The minutes at which the local clock shows what matches."""
        return [minute for minute, wall in enumerate(self.shown, self.start) if matches(wall)]


def offset(info: ZoneInfo, minute: int) -> int:
    shift = (EPOCH + minute * MINUTE).astimezone(info).utcoffset()
    assert shift is not None
    return shift // MINUTE


def minute_of(instant: datetime) -> int:
    return (instant - EPOCH) // MINUTE


@pytest.fixture(scope="module", params=YEARS, ids=lambda year: f"{year[0]}-{year[1]}")
def case(request: pytest.FixtureRequest) -> tuple[str, int, Clock]:
    zone, year = request.param
    return zone, year, Clock(zone, year)


def occurrences(
    kind: str, expression: str, zone: str, year: int, *, gap: str | None = None, fold: str | None = None
) -> list[int]:
    """What we say of the year, as minutes since 1970."""
    rule = Rule(
        kind=kind, expression=expression, timezone=zone, starts_at=datetime(year - 1, 12, 30), gap=gap, fold=fold
    )
    recurrence = compile_rule(rule)
    at: datetime | None = datetime(year, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)
    end = datetime(year + 1, 1, 1, tzinfo=UTC)
    found = []
    while at is not None and (at := recurrence.next_after(at)) is not None and at < end:
        assert (at.second, at.microsecond) == (0, 0)
        found.append(minute_of(at))
    return found


def every_third_year(first: int) -> Any:
    """A third of the zones, under torture all of them: tests that begin at 0, 1 and 2 have each zone once."""
    some = YEARS[first::3]
    cases = in_torture_also(some, [year for year in YEARS if year not in some])
    return pytest.mark.parametrize("case", cases, indirect=True, ids=lambda year: f"{year[0]}-{year[1]}")


def of_year(minutes: Iterable[int], year: int) -> list[int]:
    start, end = (minute_of(datetime(each, 1, 1, tzinfo=UTC)) for each in (year, year + 1))
    return sorted({minute for minute in minutes if start <= minute < end})


# A zone has each gap policy with one fold policy, the next zone with the next one, and under torture with all three.
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("turn", in_torture_also([0], [1, 2]))
def test_fixed_times_of_every_day(case, gap, turn):
    zone, year, clock = case
    fold = FOLDS[(GAPS.index(gap) + YEARS.index((zone, year)) + turn) % 3]
    times = {hour * 60 + minute for hour in HOURS for minute in MINUTES}
    named = [midnight + time for midnight in clock.days() for time in times]
    expected = of_year((at for wall in named for at in clock.resolve(wall, gap, fold)), year)

    assert occurrences("cron", "0,40 0,2,23 * * *", zone, year, gap=gap, fold=fold) == expected
    if gap == fold or (gap, fold) in (("shift", "first"), ("skip", "both")):
        text = "FREQ=DAILY;BYHOUR=0,2,23;BYMINUTE=0,40;BYSECOND=0"
        assert occurrences("rrule", text, zone, year, gap=gap, fold=fold) == expected


@every_third_year(0)
def test_rules_that_look_at_the_clock_every_hour(case):
    zone, year, clock = case
    expected = of_year(clock.matching(lambda wall: wall % 30 == 0), year)

    assert occurrences("rrule", "FREQ=HOURLY;BYMINUTE=0,30", zone, year) == expected


@every_third_year(1)
def test_steps_of_minutes_at_night(case):
    zone, year, clock = case
    expected = of_year(clock.matching(lambda wall: wall % 20 == 0 and wall % 1440 < 240), year)

    assert occurrences("cron", "*/20 0-3 * * *", zone, year) == expected


@every_third_year(2)
@pytest.mark.parametrize(("text", "step"), [("FREQ=HOURLY;INTERVAL=3", 180), ("FREQ=MINUTELY;INTERVAL=97", 97)])
def test_counted_hours_and_minutes_are_elapsed_time(case, text, step):
    zone, year, clock = case
    anchor = clock.instants[minute_of(datetime(year - 1, 12, 30, tzinfo=UTC))]
    expected = of_year(range(anchor, clock.end, step), year)

    assert occurrences("rrule", text, zone, year) == expected


@every_third_year(1)
def test_counted_minutes_that_look_at_the_clock(case):
    zone, year, clock = case
    anchor = clock.instants[minute_of(datetime(year - 1, 12, 30, tzinfo=UTC))]
    expected = of_year((at for at in range(anchor, clock.end, 7) if clock.at(at) % 1440 < 180), year)

    assert occurrences("rrule", "FREQ=MINUTELY;INTERVAL=7;BYHOUR=0,1,2", zone, year) == expected
