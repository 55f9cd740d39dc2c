"""The acceptance cases 1 to 17, of RRULEs; expected instants were computed without any scheduler."""

import time
from datetime import UTC, datetime

import pytest

from scheduling.core.recurrence import Rule, ScheduleError, anchored, compile_rule
from tests.unit.core.schedules import BERLIN, CHISINAU, days, local_times

BRIEFING = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=8;BYMINUTE=30"
JANUARY = "2025-01-01T00:00:00"


def rrule(expression: str, count: int, *, timezone: str = CHISINAU, **more: object) -> list[str]:
    return local_times(count, kind="rrule", expression=expression, timezone=timezone, **more)


def test_case_1_every_weekday_morning():
    found = rrule(BRIEFING, 6, after="2024-01-01T07:00:00")

    assert found == [f"2024-01-0{day}T08:30:00+02:00" for day in (1, 2, 3, 4, 5, 8)]


def test_case_2_local_time_stays_when_clocks_go_forward():
    assert rrule(BRIEFING, 1, after="2025-03-28T09:00:00") == ["2025-03-31T08:30:00+03:00"]


def test_case_3_every_wednesday_at_ten_all_year():
    found = rrule("FREQ=WEEKLY;BYDAY=WE;BYHOUR=10", 45, starts_at=JANUARY)

    assert all(datetime.fromisoformat(at).weekday() == 2 and at[11:19] == "10:00:00" for at in found)
    assert {at for at in found if at[5:10] in ("03-26", "04-02", "10-22", "10-29")} == {
        "2025-03-26T10:00:00+02:00",
        "2025-04-02T10:00:00+03:00",
        "2025-10-22T10:00:00+03:00",
        "2025-10-29T10:00:00+02:00",
    }


@pytest.mark.parametrize("after", [None, "2023-12-31T00:00:00"])
def test_case_4_quarters_count_from_the_anchor(after):
    expression = "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1;BYHOUR=10"

    found = rrule(expression, 5, starts_at="2024-01-01T00:00:00", after=after)
    asked_later = rrule(expression, 2, starts_at="2024-01-01T00:00:00", after="2024-08-19T11:11:11")

    assert days(found) == ["2024-01-01", "2024-04-01", "2024-07-01", "2024-10-01", "2025-01-01"]
    assert asked_later == found[3:]


@pytest.mark.parametrize("after", ["2025-06-02T11:00:00", "2025-06-10T00:00:00"])
def test_case_5_every_other_monday_does_not_drift(after):
    found = rrule("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=10", 3, starts_at="2025-06-02T00:00:00", after=after)

    assert days(found) == ["2025-06-16", "2025-06-30", "2025-07-14"]


CALENDARS = [
    (6, "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH;BYHOUR=14;BYMINUTE=30", "2025-01-07T00:00:00",
     "2025-01-07 2025-01-09 2025-01-21 2025-01-23 2025-02-04"),
    (7, "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17", JANUARY, "2025-01-31 2025-02-28 2025-03-28 2025-04-25"),
    (7, "FREQ=MONTHLY;BYDAY=FR;BYSETPOS=-1;BYHOUR=17", JANUARY, "2025-01-31 2025-02-28 2025-03-28 2025-04-25"),
    (8, "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=10", "2024-01-01T08:00:00",
     "2024-01-01 2024-02-05 2024-03-04 2024-04-01 2024-05-06 2024-06-03"),
    (9, "FREQ=MONTHLY;BYDAY=2MO;BYHOUR=9", JANUARY, "2025-01-13 2025-02-10 2025-03-10"),
    (10, "FREQ=MONTHLY;BYMONTHDAY=31;BYHOUR=15", JANUARY,
     "2025-01-31 2025-03-31 2025-05-31 2025-07-31 2025-08-31 2025-10-31 2025-12-31"),
    (12, "FREQ=MONTHLY;BYMONTHDAY=15;BYDAY=MO,TU,WE,TH,FR;BYHOUR=11", JANUARY,
     "2025-01-15 2025-04-15 2025-05-15 2025-07-15 2025-08-15 2025-09-15 2025-10-15 2025-12-15"),
    (13, "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1,2,3;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9", JANUARY,
     "2025-01-01 2025-01-02 2025-01-03 2025-04-01"),
    (13, "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1,2,3;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYSETPOS=1", JANUARY,
     "2025-01-01 2025-04-01 2025-07-01 2025-10-01"),
    (15, "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", JANUARY, "2025-06-13 2026-02-13 2026-03-13"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "expression", "starts_at", "expected"), CALENDARS)
def test_cases_6_to_15_of_the_calendar(case, expression, starts_at, expected):
    dates = expected.split()

    found = rrule(expression, len(dates), starts_at=starts_at)

    assert days(found) == dates


@pytest.mark.parametrize(
    ("expression", "starts_at", "times"),
    [
        (CALENDARS[0][1], "2025-01-07T00:00:00", {"14:30:00"}),
        (CALENDARS[3][1], "2024-01-01T08:00:00", {"10:00:00"}),
        (CALENDARS[1][1], JANUARY, {"17:00:00"}),
        (CALENDARS[4][1], JANUARY, {"09:00:00"}),
        (CALENDARS[5][1], JANUARY, {"15:00:00"}),
        (CALENDARS[6][1], JANUARY, {"11:00:00"}),
        (CALENDARS[7][1], JANUARY, {"09:00:00"}),
    ],
)
def test_the_time_of_day_is_the_same_through_the_year(expression, starts_at, times):
    assert {at[11:19] for at in rrule(expression, 40, starts_at=starts_at)} == times


def test_case_7_april_is_in_summer_time():
    assert rrule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17", 4, starts_at=JANUARY)[3] == "2025-04-25T17:00:00+03:00"


def test_case_11_leap_day():
    found = rrule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=12", 1, after="2024-02-29T12:00:00", timezone="UTC")

    assert found == ["2028-02-29T12:00:00+00:00"]


@pytest.mark.parametrize("expression", ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=31"])
def test_case_11_what_never_occurs_is_refused_at_once(expression):
    began = time.perf_counter()

    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="rrule", expression=expression, starts_at=datetime(2025, 1, 1)))

    assert refused.value.code == "never_occurs"
    assert time.perf_counter() - began < 0.1


def test_case_14_count_ends_the_schedule():
    found = rrule("FREQ=DAILY;COUNT=3;BYHOUR=12", 10, starts_at="2025-06-01T00:00:00")

    assert days(found) == ["2025-06-01", "2025-06-02", "2025-06-03"]


def test_case_14_until_in_the_past_is_no_error():
    assert rrule("FREQ=DAILY;UNTIL=20240101T000000Z", 5, after="2025-01-01T00:00:00") == []


def test_case_15_two_times_a_day():
    found = rrule("FREQ=DAILY;BYHOUR=9,18", 3, after="2025-01-01T10:00:00")

    assert found == ["2025-01-01T18:00:00+02:00", "2025-01-02T09:00:00+02:00", "2025-01-02T18:00:00+02:00"]


@pytest.mark.parametrize(
    ("gap", "moved"),
    [("shift", ["2025-03-30T03:30:00+02:00"]), ("next", ["2025-03-30T03:00:00+02:00"]), ("skip", [])],
)
def test_case_16_a_time_in_the_gap_follows_the_gap_policy(gap, moved):
    found = rrule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", 3, timezone=BERLIN, starts_at="2025-03-29T00:00:00", gap=gap)

    assert found[: 2 + len(moved)] == ["2025-03-29T02:30:00+01:00", *moved, "2025-03-31T02:30:00+02:00"]


def test_case_16_a_time_in_the_fold_occurs_once():
    found = rrule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", 2, timezone=BERLIN, after="2025-10-25T12:00:00")

    assert found == ["2025-10-26T02:30:00+02:00", "2025-10-27T02:30:00+01:00"]


@pytest.mark.parametrize(
    "expression",
    [
        "FREQ=INVALID",
        "BYDAY=MO",
        "",
        "NOT_AN_RRULE",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;COUNT=3;UNTIL=20301231T235959Z",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=YEARLY;BYMONTH=13",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=YEARLY;BYDAY=54SU",
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=DAILY;BADPROP=1",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=;BYHOUR=9",
        "FREQ=DAILY;;BYHOUR=9",
        "FREQ=DAILY;BYHOUR=25",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=-1",
        "FREQ=DAILY;BYHOUR=1;BYHOUR=2",
        "FREQ=DAILY;BYHOUR=",
        "FREQ=DAILY;BYHOUR=1,",
        "FREQ=DAILY;",
        "FREQ=DAILY;BYHOUR=٣",
        "FREQ=DAILY;UNTIL=20250230",
        "FREQ=DAILY;BYSETPOS=1",
        "FREQ=WEEKLY;BYMONTHDAY=3",
        "FREQ=MONTHLY;BYWEEKNO=3",
        "FREQ=DAILY;BYSECOND=61",
        "DTSTART:20250101T000000\nRRULE:FREQ=DAILY",
    ],
)
def test_case_17_malformed_rules_are_refused(expression):
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="rrule", expression=expression, starts_at=datetime(2025, 1, 1)))

    assert (refused.value.code, refused.value.field) == ("invalid_rrule", "expression")


@pytest.mark.parametrize(
    "expression",
    [
        "FREQ=YEARLY;BYDAY=1SU;BYMONTH=4",
        "FREQ=HOURLY;INTERVAL=2",
        "FREQ=WEEKLY;UNTIL=20301231T235959Z",
        "RRULE:FREQ=DAILY",
        "freq=daily;byhour=9",
        "BYHOUR=9;FREQ=DAILY",
    ],
)
def test_case_17_sound_rules_are_accepted(expression):
    now = datetime(2025, 1, 1, tzinfo=UTC)

    assert compile_rule(anchored(Rule(kind="rrule", expression=expression), at=now)).next_after(now) is not None
