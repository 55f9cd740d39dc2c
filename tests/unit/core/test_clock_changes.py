"""Gap and fold policies, elapsed time, COUNT, UNTIL, exclusions and additions."""

from datetime import UTC, datetime

import pytest

from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from tests.unit.core.schedules import BERLIN, local_times

SPRING = "2025-03-30T00:00:00"
AUTUMN = "2025-10-26T00:00:00"


def clocks(times: list[str]) -> list[str]:
    """Time and offset alone."""
    return [time[11:16] + time[19:] for time in times]


@pytest.mark.parametrize(("kind", "expression"), [("rrule", "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"), ("cron", "30 2 * * *")])
@pytest.mark.parametrize(("gap", "first"), [("shift", "03:30+02:00"), ("next", "03:00+02:00"), ("skip", "02:30+02:00")])
def test_every_gap_policy_holds_for_cron_and_rrule(kind, expression, gap, first):
    found = local_times(1, kind=kind, expression=expression, timezone=BERLIN, after=SPRING, gap=gap)

    assert clocks(found) == [first]


@pytest.mark.parametrize(
    ("kind", "expression", "first"),
    [
        ("rrule", "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "03:30+02:00"),
        ("once", "2025-03-30T02:30:00", "03:30+02:00"),
        ("cron", "30 2 * * *", "03:00+02:00"),
    ],
)
def test_the_default_gap_policy_is_the_kinds_own(kind, expression, first):
    assert clocks(local_times(1, kind=kind, expression=expression, timezone=BERLIN, after=SPRING)) == [first]


@pytest.mark.parametrize(("kind", "expression"), [("rrule", "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"), ("cron", "30 2 * * *")])
@pytest.mark.parametrize(
    ("fold", "times"),
    [("first", ["02:30+02:00"]), ("second", ["02:30+01:00"]), ("both", ["02:30+02:00", "02:30+01:00"])],
)
def test_every_fold_policy_holds_for_cron_and_rrule(kind, expression, fold, times):
    found = local_times(2, kind=kind, expression=expression, timezone=BERLIN, after=AUTUMN, fold=fold)

    assert clocks(found)[: len(times)] == times
    assert len([time for time in found if time.startswith("2025-10-26")]) == len(times)


@pytest.mark.parametrize("gap", ["shift", "next", "skip"])
def test_what_is_moved_onto_another_occurrence_is_one(gap):
    minute = 30 if gap == "shift" else 0
    found = local_times(
        4, kind="rrule", expression=f"FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE={minute}", timezone=BERLIN, after=SPRING, gap=gap
    )

    assert clocks(found)[:2] == [f"01:{minute:02}+01:00", f"03:{minute:02}+02:00"]
    assert len(set(found)) == 4
    assert sum(time.startswith("2025-03-30") for time in found) == 2


@pytest.mark.parametrize(
    ("kind", "expression"), [("cron", "0 * * * *"), ("rrule", "FREQ=HOURLY"), ("interval", "PT1H")]
)
@pytest.mark.parametrize("gap", ["shift", "skip"])
def test_hourly_rules_follow_elapsed_time(kind, expression, gap):
    spring = local_times(4, kind=kind, expression=expression, timezone=BERLIN, after=SPRING, gap=gap)
    autumn = local_times(
        4, kind=kind, expression=expression, timezone=BERLIN, after="2025-10-26T00:30:00", fold="first"
    )

    assert clocks(spring) == ["01:00+01:00", "03:00+02:00", "04:00+02:00", "05:00+02:00"]
    assert clocks(autumn) == ["01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00"]


def test_a_day_of_an_interval_is_24_hours():
    found = local_times(2, kind="interval", expression="P1D", timezone=BERLIN, starts_at="2025-03-29T12:00:00")

    assert clocks(found) == ["12:00+01:00", "13:00+02:00"]


def test_a_whole_day_left_out_moves_onto_the_next():
    found = local_times(
        3, kind="rrule", expression="FREQ=DAILY;BYHOUR=9", timezone="Pacific/Apia", after="2011-12-28T12:00:00"
    )

    assert [time[:10] for time in found] == ["2011-12-29", "2011-12-31", "2012-01-01"]


@pytest.mark.parametrize(
    ("gap", "dates"),
    [
        ("shift", ["12-28", "12-29", "12-31"]),  # the 30th is moved onto the 31st: four are counted, three differ
        ("skip", ["12-28", "12-29", "12-31", "01-01"]),
    ],
)
def test_count_takes_the_day_that_apia_left_out_where_it_is_moved(gap, dates):
    found = local_times(
        9,
        kind="rrule",
        expression="FREQ=DAILY;COUNT=4",
        timezone="Pacific/Apia",
        starts_at="2011-12-28T09:00:00",
        after="2011-12-01T00:00:00",
        gap=gap,
    )

    assert [time[5:10] for time in found] == dates


def test_lord_howe_moves_by_half_an_hour():
    found = local_times(
        3,
        kind="cron",
        expression="15 2 * * *",
        timezone="Australia/Lord_Howe",
        after="2025-10-04T12:00:00",
        gap="shift",
    )

    assert clocks(found) == ["02:45+11:00", "02:15+11:00", "02:15+11:00"]


def test_a_local_anchor_is_not_shifted_by_the_season():
    found = local_times(
        3,
        kind="rrule",
        expression="FREQ=DAILY;COUNT=3",
        timezone="Europe/Paris",
        starts_at="2025-03-29T02:30:00",
        gap="shift",
        fold="first",
        exdates=[],
        rdates=[],
        after=None,
    )

    assert found == ["2025-03-29T02:30:00+01:00", "2025-03-30T03:30:00+02:00", "2025-03-31T02:30:00+02:00"]


@pytest.mark.parametrize(("gap", "last"), [("shift", "2025-03-31"), ("next", "2025-03-31"), ("skip", "2025-04-01")])
def test_count_takes_what_is_moved_and_not_what_is_left_out(gap, last):
    found = local_times(
        9,
        kind="rrule",
        expression="FREQ=DAILY;COUNT=3;BYHOUR=2;BYMINUTE=30",
        timezone=BERLIN,
        starts_at="2025-03-29T00:00:00",
        gap=gap,
    )

    assert (len(found), found[-1][:10]) == (3, last)


def test_count_is_counted_from_the_anchor_however_late_the_question():
    line = {"kind": "rrule", "expression": "FREQ=HOURLY;INTERVAL=5;COUNT=10", "starts_at": "2025-01-01T00:00:00"}

    assert local_times(99, after="2025-01-02T00:00:00", **line) == [
        "2025-01-02T01:00:00+00:00",
        "2025-01-02T06:00:00+00:00",
        "2025-01-02T11:00:00+00:00",
        "2025-01-02T16:00:00+00:00",
        "2025-01-02T21:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20250105T080000Z", "2025-01-05"),  # 09:00 in Berlin is 08:00 UTC
        ("20250105T075959Z", "2025-01-04"),
        ("20250105T090000", "2025-01-05"),
        ("20250105T085959", "2025-01-04"),
        ("20250105", "2025-01-05"),
    ],
)
@pytest.mark.parametrize("expression", ["FREQ=DAILY", "FREQ=HOURLY;INTERVAL=24"])
def test_until_is_compared_in_utc_or_local_time_as_written(expression, until, last):
    found = local_times(
        99, kind="rrule", expression=f"{expression};UNTIL={until}", timezone=BERLIN, starts_at="2025-01-01T09:00:00"
    )

    assert found[-1] == f"{last}T09:00:00+01:00"


@pytest.mark.parametrize(
    ("kind", "expression"),
    [("cron", "0 9 * * *"), ("rrule", "FREQ=DAILY"), ("rrule", "FREQ=HOURLY;INTERVAL=24"), ("interval", "P1D")],
)
def test_exclusions_and_additions_are_local_times_of_every_kind(kind, expression):
    found = local_times(
        4,
        kind=kind,
        expression=expression,
        timezone=BERLIN,
        starts_at="2025-01-01T09:00:00",
        exdates=["2025-01-02T09:00:00"],
        rdates=["2025-01-02T17:30:00", "2025-01-03T09:00:00"],
    )

    assert [time[5:16] for time in found] == ["01-01T09:00", "01-02T17:30", "01-03T09:00", "01-04T09:00"]


def test_an_exclusion_outweighs_an_addition_and_does_not_give_back_a_count():
    found = local_times(
        9,
        kind="rrule",
        expression="FREQ=DAILY;COUNT=3",
        starts_at="2025-01-01T09:00:00",
        exdates=["2025-01-02T09:00:00", "2025-02-01T00:00:00"],
        rdates=["2025-02-01T00:00:00"],
    )

    assert [time[:10] for time in found] == ["2025-01-01", "2025-01-03"]


def test_nothing_occurs_after_the_end():
    found = local_times(
        9, kind="interval", expression="PT1H", starts_at="2025-01-01T00:00:00", ends_at="2025-01-01T02:00:00Z"
    )

    assert [time[11:16] for time in found] == ["00:00", "01:00", "02:00"]


@pytest.mark.parametrize("kind", ["cron", "rrule"])
def test_the_anchor_is_an_occurrence_only_where_it_matches(kind):
    expression = "0 9 * * 1" if kind == "cron" else "FREQ=WEEKLY;BYDAY=MO"

    found = local_times(1, kind=kind, expression=expression, starts_at="2025-01-01T09:00:00")

    assert found == ["2025-01-06T09:00:00+00:00"]


@pytest.mark.parametrize(
    "expression", ["P1M", "P1Y", "PT0S", "PT0.5S", "P", "PT", "", "15m", "P1DT", "-PT1H", "P200000D"]
)
def test_an_interval_that_is_not_an_elapsed_time_is_refused(expression):
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="interval", expression=expression, starts_at=datetime(2025, 1, 1)))

    assert refused.value.code == "invalid_interval"


@pytest.mark.parametrize(
    ("fold", "instants"), [("first", ["00:30"]), ("second", ["01:30"]), ("both", ["00:30", "01:30"])]
)
def test_once_in_the_fold(fold, instants):
    rule = Rule(kind="once", expression="2025-10-26T02:30:00", timezone=BERLIN, fold=fold)

    found = compile_rule(rule).occurrences(datetime(2025, 1, 1, tzinfo=UTC), 5)

    assert [at.strftime("%H:%M") for at in found] == instants


def test_once_that_is_left_out_and_skipped_never_occurs():
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind="once", expression="2025-03-30T02:30:00", timezone=BERLIN, gap="skip"))

    assert refused.value.code == "never_occurs"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # python-dateutil yields nothing for the first and miscounts the second.
        ("FREQ=MONTHLY;BYDAY=1MO,-1MO,WE", "01-01 01-06 01-08 01-15 01-22 01-27 01-29 02-03"),
        ("FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1,2", "01-01 01-06 01-08 01-13"),
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", "2025-12-29 2027-01-04 2028-01-03"),
        ("FREQ=YEARLY;BYWEEKNO=-1;BYDAY=SU", "2025-12-28 2027-01-03 2028-01-02"),
        ("FREQ=YEARLY;BYYEARDAY=-1,100", "04-10 12-31"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "01-31 02-28 03-31"),
    ],
)
def test_rules_that_libraries_get_wrong(expression, expected):
    dates = expected.split()

    found = local_times(len(dates), kind="rrule", expression=expression, starts_at="2025-01-01T00:00:00")

    assert [time[10 - len(dates[0]) : 10] for time in found] == dates


@pytest.mark.parametrize(
    ("expression", "timezone", "starts_at"),
    [
        ("FREQ=HOURLY", BERLIN, "2024-10-20T00:00:01"),
        ("FREQ=HOURLY;BYMINUTE=0,45", "Asia/Kolkata", "2024-12-20T00:10:00"),
        ("FREQ=HOURLY;BYMINUTE=10,40", "Australia/Lord_Howe", "2025-03-20T00:20:00"),
        ("FREQ=MINUTELY;INTERVAL=7;BYHOUR=1,2,5", "Australia/Lord_Howe", "2025-03-20T00:20:30"),
        ("FREQ=SECONDLY;INTERVAL=61;BYMINUTE=3", "America/New_York", "2025-10-30T00:00:07"),
    ],
)
def test_count_is_exact_across_years_and_clock_changes(expression, timezone, starts_at):
    line = {"kind": "rrule", "timezone": timezone, "starts_at": starts_at}

    endless = local_times(1000, expression=expression, **line)

    assert local_times(1001, expression=f"{expression};COUNT=1000", **line) == endless
