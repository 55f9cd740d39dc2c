"""How close the occurrences of a schedule come."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from scheduling.core.recurrence import Rule, compile_rule
from scheduling.core.recurrence.spacing import comes_closer

NOW = datetime(2025, 6, 4, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def closer(kind: str, expression: str, than: timedelta = HOUR, **fields) -> timedelta | None:
    rule = Rule(kind=kind, expression=expression, starts_at=datetime(2015, 1, 1), **fields)
    found = comes_closer(compile_rule(rule), than=than, after=NOW)
    return None if found is None else found.distance


@pytest.mark.parametrize(
    ("kind", "expression", "distance"),
    [
        ("cron", "*/5 * * * *", timedelta(minutes=5)),
        ("cron", "0,50 * * * *", timedelta(minutes=50)),
        ("cron", "*/10 * 24 12 *", timedelta(minutes=10)),
        ("cron", "0 8 * * *\n30 8 25 12 *", timedelta(minutes=30)),
        ("rrule", "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=27", timedelta(seconds=1)),
        ("rrule", "FREQ=DAILY;BYHOUR=8\nFREQ=MINUTELY;INTERVAL=7;BYMONTH=3", timedelta(minutes=7)),
        ("interval", "PT59M59S", timedelta(minutes=59, seconds=59)),
    ],
)
def test_what_comes_closer_is_found_out(kind, expression, distance):
    found = closer(kind, expression)

    assert found is not None
    assert found <= distance


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("cron", "0 * * * *"),
        ("cron", "0 8 * * *\n0 9 * * *\n0 8 1 * *"),
        ("rrule", "FREQ=HOURLY"),
        ("rrule", "FREQ=MINUTELY;INTERVAL=60"),
        ("rrule", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO"),
        ("interval", "PT1H"),
        ("once", "2026-01-01T00:00:00Z"),
    ],
)
def test_what_keeps_its_distance_passes(kind, expression):
    assert closer(kind, expression) is None


def test_an_added_time_is_compared_with_those_before_and_after_it():
    near = (datetime(2027, 3, 1, 8, 40),)

    assert closer("cron", "0 9 * * *", rdates=near) == timedelta(minutes=20)
    assert closer("cron", "0 8 * * *", rdates=near) == timedelta(minutes=40)
    assert closer("cron", "0 7 * * *", rdates=near) is None


def test_what_lies_after_the_end_does_not_count():
    text = "FREQ=DAILY;BYHOUR=8\nFREQ=MINUTELY;BYMONTH=12"

    assert closer("rrule", text, ends_at=datetime(2025, 11, 30, 12, tzinfo=UTC)) is None


def test_the_look_is_bounded_for_the_dearest_rules():
    text = "\n".join(f"FREQ=YEARLY;INTERVAL={step};BYWEEKNO=53;BYDAY=MO;BYMONTHDAY=28" for step in range(1, 9))
    began = time.thread_time()

    closer("rrule", text)

    assert time.thread_time() - began < 2


@pytest.mark.parametrize("rare", ["2 0 24 12 *", "57 0 24 12 *"])
def test_a_rare_line_that_comes_close_to_a_frequent_one_is_found(rare: str) -> None:
    union = compile_rule(Rule(kind="cron", expression=f"0 * * * *\n{rare}"))

    found = comes_closer(union, than=timedelta(minutes=15), after=datetime(2026, 1, 1, tzinfo=UTC))

    assert found is not None
    assert found.distance in (timedelta(minutes=2), timedelta(minutes=3))


@pytest.mark.parametrize("month", range(1, 13))
@pytest.mark.parametrize(
    ("kind", "expression", "fields", "distance"),
    [
        ("cron", "30 1,2,5,7,9,11,13,15,17,19,21,23 * * *", {}, timedelta(minutes=30)),
        ("cron", "30 0-23 * * *", {}, timedelta(minutes=30)),
        ("cron", "30 0-23 * * *", {"gap": "shift"}, None),
        ("cron", "30 0-23 * * *", {"gap": "skip", "fold": "both"}, None),
        ("cron", "0 0-23 * * *", {"fold": "both"}, None),
        ("cron", "30 * * * *", {}, None),
        ("rrule", "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8;BYMINUTE=30", {}, None),
        ("rrule", "FREQ=HOURLY", {}, None),
        ("rrule", "FREQ=DAILY;BYHOUR=2\nFREQ=HOURLY;BYMINUTE=0", {}, None),
    ],
)
def test_what_the_clocks_bring_together_is_found_in_every_season(kind, expression, fields, distance, month):
    rule = Rule(kind=kind, expression=expression, timezone="Europe/Berlin", starts_at=datetime(2026, 1, 1), **fields)

    found = comes_closer(compile_rule(rule), than=HOUR, after=datetime(2026, month, 10, tzinfo=UTC))

    assert (found and found.distance) == distance
    if found is not None:
        assert (found.former.month, found.former.day > 24) == (3, True)
