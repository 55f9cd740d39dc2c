"""Schedules that end before they have begun: what is refused, what is told, and at which field."""

from datetime import UTC, date, datetime

import pytest

from scheduling.core.acceptance import objection_to, require_some
from scheduling.core.preview import answer, parse_request, preview
from scheduling.core.recurrence import Exclusions, Rule, ScheduleError, anchored

NOW = datetime(2026, 11, 27, 10, 0, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def shown(**line):
    found = answer(parse_request(line), NOW)
    return [each.utc for each in found.next], list(found.notes)


@pytest.mark.parametrize(
    ("line", "instants"),
    [
        (
            {"kind": "once", "expression": "2026-12-27T18:00:00Z", "starts_at": "2027-02-25T00:00:00"},
            ["2026-12-27T18:00:00Z"],
        ),
        (
            {
                "kind": "cron",
                "expression": "0 9 * * *",
                "starts_at": "2027-02-25T00:00:00",
                "rdates": ["2026-12-27T18:00:00"],
                "count": 2,
            },
            ["2026-12-27T18:00:00Z", "2027-02-25T09:00:00Z"],
        ),
    ],
)
def test_what_is_named_before_the_anchor_is_shown_where_nobody_says_from_when(line, instants):
    assert shown(**line)[0] == instants


def gap_note(at_time: str) -> str:
    return f"{at_time} does not exist in Europe/Berlin (clocks go forward): it is left out (gap: skip)."


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "cron", "expression": "30 2 * * *", "ends_at": "2027-03-28T12:00:00"},
        {"kind": "rrule", "expression": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;UNTIL=20270328"},
        {"kind": "rrule", "expression": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;COUNT=2"},
        {"kind": "rrule", "expression": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;COUNT=2\nFREQ=YEARLY;UNTIL=20270328"},
    ],
)
@pytest.mark.parametrize("day", ["27", "28"])
def test_what_the_clocks_leave_out_at_its_end_is_told(line, day):
    instants, notes = shown(**line, timezone=BERLIN, starts_at=f"2027-03-{day}T02:00:00", gap="skip")

    assert all(instant < "2027-03-28" or instant > "2027-03-29" for instant in instants)
    assert gap_note("2027-03-28 02:30") in notes


def test_what_a_calendar_takes_away_at_its_end_is_told():
    calendar = Exclusions("holidays", days=[date(2027, 3, day) for day in range(1, 8)])
    rule = Rule(
        kind="rrule",
        expression="FREQ=DAILY;COUNT=3",
        timezone="UTC",
        starts_at=at("2027-03-01T09:00:00"),
        calendars=(calendar,),
    )

    found = preview(rule, after=None, now=NOW, count=5)

    assert found.next == ()
    assert [note for note in found.notes if "holidays" in note] == [
        f"2027-03-0{day} 09:00 is excluded by calendar holidays." for day in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "cron", "expression": "0 9 * * *", "ends_at": at("2026-11-27T11:00:00+00:00")}, "ends_at"),
        ({"expression": "FREQ=DAILY;UNTIL=20261130", "starts_at": at("2026-12-17T09:00:00")}, "expression"),
        (
            {
                "expression": "FREQ=DAILY;COUNT=1",
                "starts_at": at("2026-12-17T09:00:00"),
                "exdates": (at("2026-12-17T09:00:00"),),
            },
            "exdates",
        ),
    ],
)
def test_what_can_never_occur_before_an_end_that_lies_ahead_is_refused_at_its_field(fields, field):
    rule = anchored(Rule(**{"kind": "rrule", "timezone": "UTC", **fields}), at=NOW.replace(hour=10))
    with pytest.raises(ScheduleError) as refused:
        require_some(rule, now=NOW, is_new=True)

    assert (refused.value.code, refused.value.field) == ("never_occurs", field)
    assert refused.value.hint
    assert objection_to(rule, now=NOW) == f"{refused.value.detail}."


@pytest.mark.parametrize(
    "fields",
    [
        {"expression": "FREQ=DAILY;UNTIL=20200101"},
        {"expression": "FREQ=DAILY;COUNT=3", "starts_at": at("2020-01-01T09:00:00")},
        {"expression": "FREQ=DAILY;COUNT=3", "starts_at": at("2026-11-24T09:00:00")},
        {"expression": "FREQ=DAILY;UNTIL=20261127T095900", "starts_at": at("2026-11-24T09:00:00")},
        {"expression": "FREQ=DAILY", "ends_at": at("2020-01-01T09:00:00+00:00")},
        {"expression": "FREQ=DAILY", "starts_at": at("2026-11-27T09:00:00")},
    ],
)
def test_what_is_over_or_occurs_is_no_mistake(fields):
    for is_new in (True, False):
        require_some(anchored(Rule(**{"kind": "rrule", "timezone": "UTC", **fields}), at=NOW), now=NOW, is_new=is_new)


def test_an_edit_may_end_what_has_occurred_before():
    rule = Rule(
        kind="cron",
        expression="0 9 * * *",
        timezone="UTC",
        starts_at=at("2026-11-01T00:00:00"),
        ends_at=at("2026-11-27T11:00:00+00:00"),
    )

    require_some(rule, now=NOW, is_new=False)
    with pytest.raises(ScheduleError):
        require_some(rule, now=NOW, is_new=True)


def test_a_once_behind_its_end_is_told_at_the_end_and_not_taken_for_one_that_has_passed():
    line = {"kind": "once", "expression": "2026-12-27T18:00:00Z", "ends_at": "2026-12-07T00:00:00Z"}

    assert shown(**line)[1][-1] == "It would be refused: ends_at lies before 2026-12-27T18:00:00Z."


@pytest.mark.parametrize("end", ["COUNT=1", "UNTIL=20270103T000000Z", "UNTIL=20270103T000000"])
def test_what_is_taken_from_additions_behind_the_end_of_the_rule_is_told(end):
    dates = {"rdates": ["2027-02-01T00:00:00"], "exdates": ["2027-02-01T00:00:00"]}

    notes = shown(kind="rrule", expression=f"FREQ=DAILY;BYHOUR=9;{end}", starts_at="2027-01-01T00:00:00", **dates)[1]

    assert "2027-02-01 00:00 is excluded." in notes


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"rdates": ["2026-12-05T10:00:00"], "exdates": ["2026-12-05T10:00:00"]}, "2026-12-05 10:00 is excluded."),
        ({"rdates": ["2027-03-28T02:30:00"], "gap": "skip", "timezone": BERLIN}, gap_note("2027-03-28 02:30")),
    ],
)
def test_what_is_taken_from_before_the_anchor_is_told(fields, note):
    assert note in shown(kind="cron", expression="0 8 * * *", starts_at="2027-06-01T00:00:00", **fields)[1]


@pytest.mark.parametrize("field", ["starts_at", "ends_at", "exdates", "gap"])
@pytest.mark.parametrize("kind", ["event", "after"])
def test_a_time_of_what_waits_for_something_is_told_as_refused(kind, field):
    value = {"exdates": ["2027-01-01T00:00:00"], "gap": "skip"}.get(field, "2027-01-01T00:00:00")
    expression = "order.paid" if kind == "event" else "success"

    notes = shown(kind=kind, expression=expression, **{field: value})[1]

    assert notes[-1] == f"It would be refused: {field} means nothing for a schedule of kind {kind}."
