"""COUNT, which is worked out by whole years and days, against counting one occurrence after another."""

from datetime import datetime, timedelta

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from scheduling.core.recurrence.base import WallRecurrence
from scheduling.core.recurrence.elapsed import SEARCH_YEARS, ElapsedRecurrence
from scheduling.core.recurrence.patterns import BoundedPattern
from tests.effort import examples
from tests.property.core.rules import any_rrules, gaps, resolve, zones

SECOND = timedelta(seconds=1)
SEARCHED = timedelta(days=SEARCH_YEARS * 365)
POSITIONS = ("", "", "1", "-1", "1,-2", "2", "3,5,-1")

anchors = st.datetimes(datetime(1900, 1, 1), datetime(2250, 1, 1)).map(lambda at: at.replace(microsecond=0, fold=0))


@st.composite
def rules(draw: st.DrawFn, *, freqs: tuple[str, ...], most_interval: int) -> str:
    """RRULEs without an end, many with INTERVAL and BYSETPOS together."""
    text = draw(any_rrules(freqs=freqs, most_interval=most_interval))
    kept = [part for part in text.split(";") if not part.startswith(("COUNT", "UNTIL", "BYSETPOS"))]
    positions = draw(st.sampled_from(POSITIONS))
    return ";".join([*kept, f"BYSETPOS={positions}"] if positions and any("BY" in part for part in kept) else kept)


def endless_and_counted(rule: dict[str, object], count: int) -> tuple[object, object]:
    try:
        endless = compile_rule(Rule(kind="rrule", **rule))  # type: ignore[arg-type]
    except ScheduleError:
        assume(False)
        raise
    rule = {**rule, "expression": f"{rule['expression']};COUNT={count}"}
    return endless, compile_rule(Rule(kind="rrule", **rule))  # type: ignore[arg-type]


@settings(deadline=None, max_examples=examples(300))
@given(
    expression=rules(freqs=("YEARLY", "MONTHLY", "WEEKLY", "DAILY"), most_interval=400),
    anchor=anchors,
    count=st.integers(1, 700),
    zone=zones,
    gap=gaps,
)
@example(
    expression="FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30",
    anchor=datetime(2009, 1, 1),
    count=700,
    zone="Europe/Berlin",
    gap="skip",
)
@example("FREQ=DAILY", datetime(2011, 12, 1), 400, "Pacific/Apia", "skip")
@example("FREQ=YEARLY;INTERVAL=111;BYMONTH=1;BYDAY=MO;BYMONTHDAY=1", datetime(2000, 1, 1), 2, "UTC", "shift")
@example(
    expression="FREQ=WEEKLY;BYDAY=FR,SU;BYHOUR=1,9;BYSETPOS=-1,2",
    anchor=datetime(2011, 12, 25),
    count=4,
    zone="Pacific/Apia",
    gap="skip",
)
@example(
    expression="FREQ=DAILY;INTERVAL=3;BYHOUR=2",
    anchor=datetime(2150, 1, 1),
    count=700,
    zone="Europe/Berlin",
    gap="skip",
)
@example(
    expression="FREQ=YEARLY;BYHOUR=1,2;BYMINUTE=5,59;BYDAY=SU;BYSETPOS=30,-1,51,33,34",
    anchor=datetime(2011, 12, 25),
    count=300,
    zone="Europe/Berlin",
    gap="skip",
)
def test_the_last_wall_time_is_the_one_that_counting_finds(
    expression: str, anchor: datetime, count: int, zone: str, gap: str
) -> None:
    rule: dict[str, object] = {"expression": expression, "starts_at": anchor, "timezone": zone, "gap": gap}
    endless, counted = endless_and_counted(rule, count)
    assert isinstance(endless, WallRecurrence)
    assert isinstance(counted, WallRecurrence)

    wall, left, seen = endless.pattern.next_from(anchor), count, anchor
    while wall is not None:
        left -= gap != "skip" or bool(resolve(wall, zone, gap="skip", fold="first"))
        if not left:
            break
        seen, wall = wall, endless.pattern.next_from(wall + SECOND)

    last = counted.pattern.last if isinstance(counted.pattern, BoundedPattern) else None
    if wall is None and last is not None:
        assert last - seen > SEARCHED  # the one that counts knows of an occurrence past what is searched for the next
    else:
        assert last == wall


@settings(deadline=None, max_examples=examples(200))
@given(
    expression=st.one_of(
        rules(freqs=("HOURLY",), most_interval=50),
        rules(freqs=("MINUTELY",), most_interval=3000),
        rules(freqs=("SECONDLY",), most_interval=200_000),
    ),
    anchor=anchors,
    count=st.integers(1, 2000),
    zone=zones,
)
@example(
    expression="FREQ=MINUTELY;INTERVAL=7;BYHOUR=1,2,3",
    anchor=datetime(2024, 3, 1, 0, 0, 7),
    count=2000,
    zone="Australia/Lord_Howe",
)
@example("FREQ=SECONDLY;INTERVAL=43201;BYHOUR=1,2,3", datetime(1975, 3, 1), 900, "Europe/Berlin")
@example(
    expression="FREQ=HOURLY;BYSECOND=7,9;BYHOUR=1,2",
    anchor=datetime(2024, 3, 1, 0, 20, 8),
    count=1500,
    zone="Australia/Lord_Howe",
)
def test_the_last_instant_is_the_one_that_counting_finds(
    expression: str, anchor: datetime, count: int, zone: str
) -> None:
    rule: dict[str, object] = {"expression": expression, "starts_at": anchor, "timezone": zone}
    endless, counted = endless_and_counted(rule, count)
    assert isinstance(endless, ElapsedRecurrence)
    assert isinstance(counted, ElapsedRecurrence)

    at = endless.first_from(endless.anchor)
    for _ in range(count - 1):
        at = None if at is None else endless.first_from(at + SECOND)

    # Two bounds, of the search and of COUNT: what lies past either is not asked for.
    assume(at is not None and at < endless.anchor + timedelta(days=36_000))
    assert counted.until == at
