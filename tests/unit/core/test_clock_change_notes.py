"""Notes about clock changes: every time that is moved, doubled or left out is named or counted, of every kind."""

from datetime import UTC, datetime

import pytest

from scheduling.core.preview import answer, parse_request
from tests.unit.core.schedules import BERLIN

NOW = datetime(2027, 1, 1, tzinfo=UTC)


def notes(**line: object) -> tuple[str, ...]:
    return answer(parse_request({"timezone": BERLIN, "after": "2027-03-27T12:00:00", "count": 5, **line}), NOW).notes


def test_each_of_several_times_in_one_gap_is_named():
    found = notes(kind="rrule", expression="FREQ=DAILY;BYHOUR=2;BYMINUTE=0,20,40")

    assert [note[:16] for note in found] == ["2027-03-28 02:00", "2027-03-28 02:20", "2027-03-28 02:40"]
    assert [note.partition("moved to ")[2][:16] for note in found] == [
        "2027-03-28 03:00",
        "2027-03-28 03:20",
        "2027-03-28 03:40",
    ]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ("2027-03-28T00:00:00", "And 57 more times of 2027-03-28 that do not exist are moved (gap: shift)."),
        ("2027-10-31T00:00:00", "And 57 more times of 2027-10-31 that come twice occur once, the first time"),
    ],
)
def test_many_times_in_one_change_are_counted(after, words):
    found = notes(kind="rrule", expression=f"FREQ=DAILY;BYHOUR=2;BYMINUTE={listed()}", after=after, count=100)

    assert len(found) == 4
    assert found[3].startswith(words)


def test_what_is_left_out_by_skip_is_counted():
    found = notes(kind="rrule", expression=f"FREQ=DAILY;BYHOUR=2;BYMINUTE={listed()}", gap="skip")

    assert found[3] == "And 57 more times of 2027-03-28 that do not exist are left out (gap: skip)."


def test_a_time_that_is_moved_behind_the_last_one_shown_is_not_named():
    found = notes(kind="rrule", expression="FREQ=DAILY;BYHOUR=2;BYMINUTE=0,20,40", count=1)

    assert [note[:16] for note in found] == ["2027-03-28 02:00"]


def test_once_in_a_gap_says_where_it_is_moved():
    assert notes(kind="once", expression="2027-03-28T02:30:00")[0] == (
        "2027-03-28 02:30 does not exist in Europe/Berlin (clocks go forward): "
        "it is moved to 2027-03-28 03:30 (gap: shift)."
    )


def test_once_in_a_fold_says_which():
    assert notes(kind="once", expression="2027-10-31T02:30:00", fold="second")[0] == (
        "2027-10-31 02:30 comes twice in Europe/Berlin (clocks go back): "
        "it occurs once, the second time (fold: second)."
    )


def test_once_with_an_offset_is_one_instant():
    assert notes(kind="once", expression="2027-10-31T02:30:00+01:00") == (
        "The schedule ends with the last occurrence shown.",
    )


@pytest.mark.parametrize(
    ("gap", "outcome"),
    [
        ("shift", "it is moved to 2027-03-28 03:10"),
        ("next", "it is moved to 2027-03-28 03:00"),
        ("skip", "it is left out"),
    ],
)
@pytest.mark.parametrize(("kind", "expression"), [("cron", "0 * * * *"), ("interval", "P1D"), ("rrule", "FREQ=DAILY")])
def test_an_addition_in_a_gap_says_what_becomes_of_it(kind, expression, gap, outcome):
    found = notes(kind=kind, expression=expression, gap=gap, rdates=["2027-03-28T02:10:00"], count=30)

    assert any(note.startswith("2027-03-28 02:10 does not exist") and outcome in note for note in found), found


def test_an_addition_in_a_gap_is_told_by_the_policy_of_its_kind():
    found = notes(kind="cron", expression="0 8 * * *", rdates=["2027-03-28T02:10:00"])

    assert found == (
        "2027-03-28 02:10 does not exist in Europe/Berlin (clocks go forward): "
        "it is moved to 2027-03-28 03:00 (gap: next).",
    )


def listed() -> str:
    return ",".join(str(minute) for minute in range(60))


def test_notes_of_too_many_changes_end_with_a_word_about_the_others():
    found = notes(kind="rrule", expression="FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU;BYHOUR=2;BYMINUTE=30", count=1000)

    assert found[-1] == "What the clocks do to its times from 2127-03-30 on is not noted here."
    assert found[-2].startswith("2126-10-27 02:30 comes twice")
    assert len(found) == 201


@pytest.mark.parametrize(
    ("until", "named"), [("20271031T002500Z", ["02:20"]), ("20271031T010500Z", ["02:20", "02:40"])]
)
def test_what_comes_twice_is_named_up_to_the_instant_at_which_its_line_ends(until, named):
    line = f"FREQ=DAILY;BYHOUR=2;BYMINUTE=20,40;UNTIL={until}\nFREQ=MONTHLY;BYHOUR=12"

    found = notes(kind="rrule", expression=line, after="2027-10-30T12:00:00", count=9)

    assert [note[11:16] for note in found] == named


TWICE = "2027-10-31 02:30 comes twice in Europe/Berlin (clocks go back)"


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "once", "expression": "2027-10-31T02:30:00"},
        {"kind": "once", "expression": "2027-10-31T02:30:00", "fold": "both"},
        {"kind": "cron", "expression": "30 2 * * *", "after": "2027-10-30T12:00:00", "count": 1},
        {"kind": "cron", "expression": "30 2 * * *", "after": "2027-10-30T12:00:00", "count": 1, "fold": "both"},
        {"kind": "rrule", "expression": "FREQ=DAILY;COUNT=2", "starts_at": "2027-10-30T02:30:00"},
        {"kind": "once", "expression": "2027-10-01T10:00:00", "rdates": ["2027-10-31T02:30:00"]},
    ],
)
def test_the_first_of_a_doubled_time_is_noted_where_it_is_the_last_that_is_shown(line):
    assert [note for note in notes(**line) if note.startswith(TWICE)]


@pytest.mark.parametrize(
    ("rule", "starts_at", "policy", "first", "words"),
    [
        ("PT1H", "2027-03-28T02:30:00", {}, "03:30:00+02:00", "does not exist in Europe/Berlin"),
        ("PT1H", "2027-03-28T02:30:00", {"gap": "next"}, "03:00:00+02:00", "it is counted from 2027-03-28 03:00"),
        ("PT1H", "2027-03-28T02:30:00", {"gap": "skip"}, "03:30:00+02:00", "it is counted from 2027-03-28 03:30"),
        ("FREQ=HOURLY", "2027-03-28T02:30:00", {"gap": "next"}, "03:00:00+02:00", "counted from 2027-03-28 03:00"),
        ("FREQ=HOURLY", "2027-10-31T02:30:00", {}, "02:30:00+02:00", "it is counted from the first time"),
        ("PT6H", "2027-10-31T02:30:00", {"fold": "second"}, "02:30:00+01:00", "it is counted from the second time"),
        ("PT6H", "2027-10-31T02:30:00", {"fold": "both"}, "02:30:00+02:00", "it is counted from the first time"),
    ],
)
def test_an_anchor_that_is_no_instant_or_two_is_noted_where_elapsed_time_is_counted_from_it(
    rule, starts_at, policy, first, words
):
    line = {"kind": "interval" if rule[0] == "P" else "rrule", "expression": rule, "starts_at": starts_at, **policy}
    found = answer(parse_request({"timezone": BERLIN, "count": 3, **line}), NOW)

    assert found.next[0].local.endswith(first)
    assert found.notes[0].startswith(f"starts_at, {starts_at[:10]} 02:30")
    assert words in found.notes[0]
    assert notes(**{**line, "after": "2027-11-01T00:00:00"}) == ()


def test_where_midnight_does_not_exist_an_interval_from_today_says_so():
    line = {"kind": "interval", "expression": "PT1H", "timezone": "Asia/Beirut", "starts_at": "2027-03-28T00:00:00"}

    found = answer(parse_request({**line, "count": 2}), NOW)

    assert found.next[0].local == "2027-03-28T01:00:00+03:00"
    assert found.notes == (
        "starts_at, 2027-03-28 00:00, does not exist in Asia/Beirut (clocks go forward): "
        "it is counted from 2027-03-28 01:00.",
    )


@pytest.mark.parametrize(("count", "words"), [(1, "at 1 local time"), (3, "at 3 local times")])
def test_a_count_of_local_times_that_occur_twice_is_told_so(count, words):
    expression = f"FREQ=DAILY;COUNT={count};BYHOUR=2;BYMINUTE=30"
    line = {"kind": "rrule", "expression": expression, "starts_at": "2027-10-31T00:00:00", "timezone": BERLIN}

    both = answer(parse_request({**line, "fold": "both"}), NOW)
    first = answer(parse_request(line), NOW)

    assert both.sentence == f"Every day at 02:30, {words} ({BERLIN})"
    assert (len(both.next), len(first.next)) == (count + 1, count)
    assert "local" not in first.sentence
