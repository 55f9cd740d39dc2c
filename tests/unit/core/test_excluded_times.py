"""An exdate leaves out what is due at its local time and what would be shown at it, for every kind; notes say so."""

from datetime import UTC, datetime

import pytest

from scheduling.core.preview import answer, parse_request
from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from tests.unit.core.schedules import BERLIN, local_times

# 28 March 2027 has no 02:00 to 03:00 in Berlin.
EVE = "2027-03-27T12:00:00"
NOW = datetime(2027, 1, 1, tzinfo=UTC)
DAILY = {"kind": "rrule", "expression": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "timezone": BERLIN, "after": EVE}


def times(count: int, **line: object) -> list[str]:
    return [time[5:16] for time in local_times(count, **{**DAILY, **line})]


def notes(**line: object) -> tuple[str, ...]:
    return answer(parse_request({**DAILY, "count": 2, **line}), NOW).notes


@pytest.mark.parametrize("exdate", ["2027-03-28T02:30:00", "2027-03-28T03:30:00"])
def test_what_a_gap_moves_is_left_out_by_the_time_it_was_due_and_by_the_time_it_would_be(exdate):
    assert times(2, exdates=[exdate]) == ["03-29T02:30", "03-30T02:30"]
    assert notes(exdates=[exdate]) == (f"{exdate[:16].replace('T', ' ')} is excluded.",)


def test_what_cron_moves_to_the_end_of_a_gap_is_left_out_by_that_time():
    line = {"kind": "cron", "expression": "30 2 * * *"}

    for exdate in ("2027-03-28T03:00:00", "2027-03-28T02:30:00"):
        assert times(1, **line, exdates=[exdate]) == ["03-29T02:30"]


@pytest.mark.parametrize("exdate", [datetime(2027, 3, 28, 2, 30), datetime(2027, 3, 28, 3, 30)])
def test_once_in_a_gap_is_left_out_by_its_own_words_and_by_what_becomes_of_them(exdate):
    rule = Rule(kind="once", expression="2027-03-28T02:30:00", timezone=BERLIN, exdates=(exdate,))

    with pytest.raises(ScheduleError) as refused:
        compile_rule(rule)

    assert refused.value.code == "never_occurs"


def test_once_with_a_part_of_a_second_is_left_out_by_its_second():
    rule = Rule(kind="once", expression="2027-03-28T12:00:00.5Z", exdates=(datetime(2027, 3, 28, 12),))

    with pytest.raises(ScheduleError):
        compile_rule(rule)


def test_an_addition_that_is_moved_is_left_out_by_the_time_it_would_be():
    line = {"rdates": ["2027-03-28T02:15:00"], "exdates": ["2027-03-28T03:15:00"]}

    assert times(2, **line) == ["03-28T03:30", "03-29T02:30"]
    assert "2027-03-28 03:15 is excluded." in notes(**line)


def test_an_exclusion_holds_for_every_line_of_a_union():
    text = "FREQ=DAILY;BYHOUR=2;BYMINUTE=30\nFREQ=DAILY;BYHOUR=3;BYMINUTE=30\nFREQ=HOURLY;BYMINUTE=30"
    line = {"expression": text, "starts_at": "2027-03-28T00:00:00", "after": None}

    assert times(3, **line, exdates=["2027-03-28T03:30:00"]) == ["03-28T00:30", "03-28T01:30", "03-28T04:30"]


def test_a_line_that_is_due_at_another_time_keeps_an_instant_that_one_line_loses():
    text = "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30"

    assert times(1, expression=text, exdates=["2027-03-28T02:30:00"]) == ["03-28T03:30"]
    assert notes(expression=text, exdates=["2027-03-28T02:30:00"]) == ()


@pytest.mark.parametrize("exdate", ["2027-03-28T02:30:00", "2027-03-28T03:30:00"])
def test_count_counts_what_is_moved_and_excluded(exdate):
    line = {"expression": "FREQ=DAILY;COUNT=3", "starts_at": "2027-03-27T02:30:00", "after": None}

    assert times(9, **line, exdates=[exdate]) == ["03-27T02:30", "03-29T02:30"]


def test_an_exclusion_in_a_fold_takes_both():
    line = {"after": "2027-10-30T12:00:00", "fold": "both", "exdates": ["2027-10-31T02:30:00"]}

    assert times(1, **line) == ["11-01T02:30"]
    assert notes(**line) == ("2027-10-31 02:30 is excluded.",)


def test_an_exclusion_that_takes_nothing_away_is_no_note():
    weekdays = {"kind": "cron", "expression": "0 8 * * 1-5", "after": "2027-06-04T12:00:00"}

    # A Sunday, and a Monday at another time.
    assert notes(**weekdays, exdates=["2027-06-06T08:00:00", "2027-06-07T09:00:00"]) == ()


def test_an_exclusion_behind_the_last_shown_is_noted_where_nothing_else_follows():
    line = {"expression": "FREQ=DAILY;COUNT=3", "starts_at": "2027-01-02T09:00:00", "after": None, "count": 5}

    assert "2027-01-04 09:00 is excluded." in notes(**line, exdates=["2027-01-04T09:00:00"])


def test_many_exclusions_are_counted():
    line = {"after": None, "starts_at": "2027-06-01T00:00:00", "count": 30}
    exdates = [f"2027-06-{day:02}T02:30:00" for day in range(1, 21)]

    found = notes(**line, exdates=exdates)

    assert found[9:] == ("2027-06-10 02:30 is excluded.", "And 10 more are excluded.")
