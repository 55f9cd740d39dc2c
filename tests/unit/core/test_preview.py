"""The preview: what a request means, what it answers, and what it refuses."""

from datetime import UTC, datetime

import pytest

from scheduling.core.preview import MAX_COUNT, PreviewOccurrence, answer, parse_request, preview
from scheduling.core.recurrence import Rule, ScheduleError, anchored, compile_rule

NOW = datetime(2025, 6, 4, 10, 30, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def test_a_preview_shows_local_time_utc_and_the_schedule_in_words():
    rule = Rule(kind="cron", expression="0 8 * * 1-5", timezone=BERLIN)

    shown = preview(rule, after=None, now=NOW, count=1)

    assert shown.next == (PreviewOccurrence("2025-06-05T08:00:00+02:00", "2025-06-05T06:00:00Z"),)
    assert shown.sentence == "Every weekday at 08:00 (Europe/Berlin)"
    assert shown.notes == ()


def test_without_after_a_preview_begins_with_starts_at_itself():
    request = parse_request({"kind": "rrule", "expression": "FREQ=DAILY", "starts_at": "2020-01-01T08:00:00"})

    assert answer(request, NOW).next[0].utc == "2020-01-01T08:00:00Z"


def test_an_anchor_in_the_gap_is_shown_where_it_is_moved():
    line = {"kind": "rrule", "expression": "FREQ=DAILY", "starts_at": "2025-03-30T02:30:00", "timezone": BERLIN}

    for gap, first in (("shift", "2025-03-30T03:30:00+02:00"), ("next", "2025-03-30T03:00:00+02:00")):
        assert answer(parse_request(line | {"gap": gap}), NOW).next[0].local == first


def test_without_starts_at_the_anchor_is_midnight_of_today_or_of_the_earlier_day_asked_about():
    line = {"kind": "rrule", "expression": "FREQ=HOURLY;INTERVAL=5", "timezone": BERLIN}

    from_now = answer(parse_request(line), NOW)
    from_after = answer(parse_request(line | {"after": "2025-06-01T09:00:00"}), NOW)

    assert from_now.next[0].local == "2025-06-04T15:00:00+02:00"
    assert from_after.next[0].local == "2025-06-01T10:00:00+02:00"


@pytest.mark.parametrize(
    ("expression", "first"),
    [("FREQ=WEEKLY;INTERVAL=2", "2025-07-02"), ("FREQ=DAILY;INTERVAL=9", "2025-07-01"), ("FREQ=DAILY;COUNT=3", None)],
)
def test_what_comes_later_is_counted_from_today_as_if_it_were_stored_now(expression, first):
    line = {"kind": "rrule", "expression": expression, "timezone": BERLIN, "after": "2025-06-25T00:00:00"}
    shown = answer(parse_request(line), NOW)
    stored = compile_rule(anchored(parse_request(line).rule, at=NOW))

    assert [each.local[:10] for each in shown.next][:1] == ([first] if first else [])
    after = datetime(2025, 6, 24, 22, tzinfo=UTC)
    assert [each.utc[:10] for each in shown.next] == [f"{at:%Y-%m-%d}" for at in stored.occurrences(after, 5)]


def test_a_count_from_a_day_that_has_passed_is_noted():
    line = {"kind": "interval", "expression": "P3D", "timezone": BERLIN}
    note = "Without starts_at it is counted from 2025-06-01 here; stored now, from today."

    assert note in answer(parse_request(line | {"after": "2025-06-01T09:00:00"}), NOW).notes
    for given in ({}, {"after": "2025-06-09T09:00:00"}, {"after": "2025-06-01T09:00:00", "kind": "cron"}):
        words = {"expression": "0 9 * * *"} if "kind" in given else {}
        assert note not in answer(parse_request(line | given | words), NOW).notes


@pytest.mark.parametrize(
    ("expression", "times", "words"),
    [
        ("*/20,5 * * * *", ["00:05", "00:20", "00:40"], "Every hour at minute 0, 5, 20 and 40"),
        ("*/10,*/15 * * * *", ["00:10", "00:15", "00:20"], "Every hour at minute 0, 10, 15, 20, 30, 40, 45 and 50"),
        ("*/05 * * * *", ["00:05", "00:10", "00:15"], "Every 5 minutes"),
        ("0 9-9/4 * * *", ["09:00", "09:00", "09:00"], "Every day at 09:00"),
        ("48 12 2-2/3 * *", ["12:48", "12:48", "12:48"], "On day 2 of the month at 12:48"),
        ("0 9 * * MON-1/2", ["09:00", "09:00", "09:00"], "Every Monday at 09:00"),
    ],
)
def test_steps_of_cron_in_lists_and_in_ranges_of_one_value(expression, times, words):
    line = {"kind": "cron", "expression": expression, "after": "2026-01-01T00:00:00", "count": 3}
    shown = answer(parse_request(line), NOW)

    assert [each.local[11:16] for each in shown.next] == times
    assert shown.sentence == f"{words} (UTC)"


def test_an_anchor_at_the_end_of_the_years_is_no_fault():
    line = {"kind": "rrule", "expression": "FREQ=MINUTELY", "starts_at": "9800-12-31T23:59:59", "count": 2}

    assert [each.utc for each in answer(parse_request(line), NOW).next] == [
        "9800-12-31T23:59:59Z",
        "9801-01-01T00:00:59Z",
    ]


def test_after_is_local_or_carries_an_offset():
    line = {"kind": "cron", "expression": "0 * * * *", "timezone": BERLIN, "count": 1}

    for after in ("2025-06-04T12:00:00", "2025-06-04T10:00:00Z", "2025-06-04T06:00:00-04:00"):
        assert answer(parse_request(line | {"after": after}), NOW).next[0].local == "2025-06-04T13:00:00+02:00"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ({"kind": "cron", "expression": "30 2 * * *", "after": "2025-03-29T12:00:00"}, "moved to 2025-03-30 03:00"),
        ({"kind": "rrule", "expression": "FREQ=DAILY;BYHOUR=2", "after": "2025-03-29T12:00:00", "gap": "skip"},
         "left out"),
        ({"kind": "cron", "expression": "30 2 * * *", "after": "2025-10-25T12:00:00"}, "the first time"),
        ({"kind": "cron", "expression": "0 9 * * *", "after": "2025-06-04T12:00:00",
          "exdates": ["2025-06-06T09:00:00"]},
         "2025-06-06 09:00 is excluded"),
        ({"kind": "rrule", "expression": "FREQ=DAILY;COUNT=2", "after": "2025-06-04T12:00:00"}, "ends with the last"),
        ({"kind": "once", "expression": "2025-01-01T00:00:00Z", "after": "2025-06-04T12:00:00"}, "has ended"),
    ],
)  # fmt: skip
def test_notes_tell_what_is_not_obvious(line, word):
    notes = answer(parse_request({"timezone": BERLIN, **line}), NOW).notes

    assert any(word in note for note in notes), notes


def test_hourly_rules_need_no_note_about_clock_changes():
    line = {"kind": "cron", "expression": "0 * * * *", "timezone": BERLIN, "after": "2025-03-30T00:00:00"}

    assert answer(parse_request(line), NOW).notes == ()


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        ({"expression": "@daily"}, "missing_field", "kind"),
        ({"kind": "cron"}, "missing_field", "expression"),
        ({"kind": "cron", "expression": "@daily", "cron": 1}, "unknown_field", "cron"),
        ({"kind": "cron", "expression": 5}, "invalid_field", "expression"),
        ({"kind": ["cron"], "expression": "@daily"}, "invalid_field", "kind"),
        ({"kind": "lunar", "expression": "@daily"}, "unknown_kind", "kind"),
        ({"kind": "cron", "expression": "@daily", "timezone": "GMT+5"}, "unknown_timezone", "timezone"),
        ({"kind": "cron", "expression": "@daily", "starts_at": "tomorrow"}, "invalid_datetime", "starts_at"),
        ({"kind": "cron", "expression": "@daily", "after": "2025-02-30T00:00:00"}, "invalid_datetime", "after"),
        ({"kind": "cron", "expression": "@daily", "after": "9999-12-31T00:00:00"}, "invalid_datetime", "after"),
        ({"kind": "cron", "expression": "@daily", "ends_at": 12}, "invalid_field", "ends_at"),
        ({"kind": "cron", "expression": "@daily", "count": 0}, "invalid_field", "count"),
        ({"kind": "cron", "expression": "@daily", "count": True}, "invalid_field", "count"),
        ({"kind": "cron", "expression": "@daily", "count": MAX_COUNT + 1}, "invalid_field", "count"),
        ({"kind": "cron", "expression": "@daily", "exdates": "2025-01-01T00:00:00"}, "invalid_field", "exdates"),
        ({"kind": "cron", "expression": "@daily", "rdates": [1]}, "invalid_field", "rdates"),
        ({"kind": "cron", "expression": "@daily", "gap": "jump"}, "invalid_policy", "gap"),
        ({"kind": "cron", "expression": "@daily", "fold": "third"}, "invalid_policy", "fold"),
        ({"kind": "cron", "expression": "1 2 3"}, "invalid_cron", "expression"),
    ],
)
def test_a_bad_field_is_refused_by_name(line, code, field):
    with pytest.raises(ScheduleError) as refused:
        answer(parse_request(line), NOW)

    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"after": "2025-03-30T02:15:00"}, ["2025-03-30T03:00:00+02:00", "2025-03-31T02:30:00+02:00"]),
        ({"after": "2025-03-30T02:15:00", "gap": "shift"}, ["2025-03-30T03:30:00+02:00", "2025-03-31T02:30:00+02:00"]),
        ({"after": "2025-03-30T03:00:00"}, ["2025-03-31T02:30:00+02:00", "2025-04-01T02:30:00+02:00"]),
        ({"after": "2025-10-26T02:30:00"}, ["2025-10-27T02:30:00+01:00", "2025-10-28T02:30:00+01:00"]),
        (
            {"after": "2025-10-26T02:30:00", "fold": "second"},
            ["2025-10-26T02:30:00+01:00", "2025-10-27T02:30:00+01:00"],
        ),
        (
            {"after": "2025-10-25T12:00:00", "fold": "second", "ends_at": "2025-10-26T02:30:00"},
            ["2025-10-26T02:30:00+01:00"],
        ),
        ({"after": "2025-10-25T12:00:00", "ends_at": "2025-10-26T02:30:00"}, ["2025-10-26T02:30:00+02:00"]),
        (
            {"after": "2025-10-25T12:00:00", "fold": "both", "ends_at": "2025-10-26T02:30:00+02:00"},
            ["2025-10-26T02:30:00+02:00"],
        ),
        ({"after": "2025-03-29T12:00:00", "ends_at": "2025-03-30T02:30:00"}, ["2025-03-30T03:00:00+02:00"]),
    ],
)
def test_a_local_time_that_the_clocks_leave_out_or_repeat_loses_nothing_as_an_end_of_a_range(line, expected):
    given = {"kind": "cron", "expression": "30 2 * * *", "timezone": BERLIN, "count": 2, **line}

    assert [each.local for each in answer(parse_request(given), NOW).next] == expected


def test_a_local_field_with_an_offset_is_brought_into_the_zone():
    line = {"kind": "interval", "expression": "PT1H", "timezone": BERLIN, "starts_at": "2025-06-04T00:15:00Z"}

    assert parse_request(line).rule.starts_at == datetime(2025, 6, 4, 2, 15)


def test_the_second_of_two_equal_local_times_cannot_be_an_anchor():
    line = {"kind": "interval", "expression": "PT1H", "timezone": BERLIN, "starts_at": "2025-10-26T01:30:00Z"}

    with pytest.raises(ScheduleError) as refused:
        parse_request(line)

    assert refused.value.field == "starts_at"


@pytest.mark.parametrize("kind", ["rrule", "interval"])
def test_a_rule_that_counts_from_its_anchor_must_have_one(kind):
    rule = Rule(kind=kind, expression="FREQ=DAILY" if kind == "rrule" else "PT1H", timezone=BERLIN)

    with pytest.raises(ScheduleError) as refused:
        compile_rule(rule)

    assert (refused.value.code, refused.value.field) == ("missing_starts_at", "starts_at")
    assert anchored(rule, at=NOW).starts_at == datetime(2025, 6, 4)


def test_equal_rules_are_compiled_once():
    rules = [Rule(kind="cron", expression="7 7 * * *", timezone=BERLIN) for _ in range(2)]

    assert compile_rule(rules[0]) is compile_rule(rules[1])


@pytest.mark.parametrize(
    ("kind", "expression", "sentence"),
    [
        ("cron", "* * * * *", "Every minute"),
        ("cron", "*/5 * * * *", "Every 5 minutes"),
        ("cron", "*/10 9-17 * * 1-5", "Every 10 minutes of hour 9 to 17, every weekday"),
        ("cron", "15 * * * *", "Every hour at minute 15"),
        ("cron", "0 9,18 * * *", "Every day at 09:00 and 18:00"),
        ("cron", "0 0 1 1 *", "On day 1 of January at 00:00"),
        ("cron", "0 0 13 * 5", "On day 13 of the month and also every Friday at 00:00"),
        ("cron", "0 0 13 1 5", "On day 13 of January and also every Friday in January at 00:00"),
        ("cron", "*/10 * 13 1 5", "Every 10 minutes, on day 13 of January and also every Friday in January"),
        ("rrule", "FREQ=DAILY;BYHOUR=8,9;BYSETPOS=1", "Every day at 08:00 and 09:00, but only the first of each day"),
        ("rrule", "FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=8,9;BYSETPOS=-1;COUNT=3",
         "Every Monday and Wednesday at 08:00 and 09:00, but only the last of each week, 3 times"),
        ("cron", "0 0 */2 * 1", "On day 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 and 31 of the month"
         " if it is also every Monday at 00:00"),
        ("cron", "0 6 * * 5L", "On the last Friday of the month at 06:00"),
        ("cron", "0 6 LW 3,6 *", "On the last weekday of March and June at 06:00"),
        ("cron", "0 6 15W * *", "On the weekday nearest to day 15 of the month at 06:00"),
        ("cron", "0 6 * 12 0,6", "Every weekend day in December at 06:00"),
        ("rrule", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=8", "Every weekday at 08:00"),
        ("rrule", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=10", "Every 2 weeks on Monday at 10:00"),
        ("rrule", "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17", "Every month on the last Friday at 17:00"),
        ("rrule", "FREQ=MONTHLY", "Every month on day 4 at 00:00"),
        ("rrule", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "Every year on day 29 of February at 00:00"),
        ("rrule", "FREQ=DAILY;COUNT=3;BYHOUR=12", "Every day at 12:00, 3 times"),
        ("rrule", "FREQ=HOURLY;INTERVAL=2", "Every 2 hours"),
        ("rrule", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "Every month on Friday if it is day 13 of the month at 00:00"),
        ("rrule", "FREQ=YEARLY;BYDAY=MO", "Every year on every Monday at 00:00"),
        ("rrule", "FREQ=YEARLY;BYDAY=MO;BYMONTH=3", "Every year on every Monday in March at 00:00"),
        ("rrule", "FREQ=MONTHLY;BYDAY=MO", "Every month on every Monday at 00:00"),
        ("rrule", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "Every month on weekday (last of each month)"
         " at 00:00"),
        ("rrule", "FREQ=YEARLY;BYMONTHDAY=1", "Every year on day 1 of every month at 00:00"),
        ("rrule", "FREQ=YEARLY;BYMONTHDAY=13;BYDAY=FR", "Every year on Friday if it is day 13 of a month at 00:00"),
        ("rrule", "FREQ=YEARLY;BYWEEKNO=20", "Every year on Wednesday in week 20 at 00:00"),
        ("rrule", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "Every year on Monday in week 20 at 00:00"),
        ("rrule", "FREQ=DAILY;INTERVAL=2;BYDAY=MO", "Every 2 days if it is a Monday at 00:00"),
        ("rrule", "FREQ=DAILY;BYMONTHDAY=13", "Every day if it is day 13 of the month at 00:00"),
        ("rrule", "FREQ=SECONDLY;BYSECOND=0,30", "Every second but only in second 0 and 30 of the minute"),
        ("rrule", "FREQ=MINUTELY;BYMINUTE=0;BYSECOND=5", "Every minute at second 5 but only in minute 0 of the hour"),
        ("rrule", "FREQ=HOURLY;BYHOUR=8;BYMINUTE=0,30", "Every hour at minute 0 and 30 but only in hour 8 of the day"),
        ("interval", "PT15M", "Every 15 minutes"),
        ("interval", "PT1H30M", "Every 1 hour and 30 minutes"),
        ("interval", "P1D", "Every 24 hours"),
        ("once", "2025-12-25T10:00:00Z", "Once, on Thursday 25 December 2025 at 10:00:00"),
    ],
)  # fmt: skip
def test_schedules_are_told_in_english(kind, expression, sentence):
    rule = anchored(Rule(kind=kind, expression=expression), at=NOW)

    assert compile_rule(rule).sentence == f"{sentence} (UTC)"
