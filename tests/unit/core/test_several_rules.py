"""Several rules in one schedule, one a line: their union as a set."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from scheduling.core.recurrence.remarks import remarks as notes_of
from tests.unit.core.schedules import BERLIN, CHISINAU, local_times

WEEKDAYS = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=8"
SATURDAYS = "FREQ=WEEKLY;BYDAY=SA;BYHOUR=10"
START = "2025-06-06T00:00:00"  # a Friday


def refusal(kind: str, expression: str) -> ScheduleError:
    with pytest.raises(ScheduleError) as refused:
        compile_rule(Rule(kind=kind, expression=expression, starts_at=datetime(2025, 1, 1)))
    return refused.value


def test_each_rule_occurs():
    found = local_times(4, kind="rrule", expression=f"{WEEKDAYS}\n{SATURDAYS}", timezone=CHISINAU, starts_at=START)

    assert [time[:16] for time in found] == [
        "2025-06-06T08:00",
        "2025-06-07T10:00",
        "2025-06-09T08:00",
        "2025-06-10T08:00",
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\n\n", "\n  \n"])
def test_lines_end_as_they_do_anywhere_and_the_prefix_may_stand_on_each(line_end):
    text = f"RRULE:{WEEKDAYS}{line_end}RRULE:{SATURDAYS}{line_end}"

    found = local_times(2, kind="rrule", expression=text, starts_at=START)

    assert [time[:16] for time in found] == ["2025-06-06T08:00", "2025-06-07T10:00"]


def test_lines_of_cron_are_rules_of_their_own():
    found = local_times(3, kind="cron", expression="0 8 * * 1-5\n0 10 * * 6\n@monthly", after=START)

    assert [time[:16] for time in found] == ["2025-06-06T08:00", "2025-06-07T10:00", "2025-06-09T08:00"]


def test_a_line_end_is_no_space_between_fields():
    error = refusal("cron", "0 8 *\n* 1-5")

    assert (error.code, error.detail) == ("invalid_cron", "Line 1: Cron has five fields, here are 3")


def test_two_rules_that_name_one_instant_name_it_once():
    found = local_times(3, kind="cron", expression="0 8 * * *\n0 8,9 * * *\n0 8 * * *", after=START)

    assert [time[:16] for time in found] == ["2025-06-06T08:00", "2025-06-06T09:00", "2025-06-07T08:00"]


def test_count_and_until_end_their_own_line():
    text = "FREQ=DAILY;COUNT=2;BYHOUR=8\nFREQ=DAILY;UNTIL=20250608T100000;BYHOUR=9"

    found = local_times(9, kind="rrule", expression=text, starts_at=START)

    assert [time[:13] for time in found] == [
        "2025-06-06T08",
        "2025-06-06T09",
        "2025-06-07T08",
        "2025-06-07T09",
        "2025-06-08T09",
    ]


def test_exclusions_additions_and_the_end_are_of_the_union():
    found = local_times(
        9,
        kind="rrule",
        expression="FREQ=DAILY;BYHOUR=8\nFREQ=DAILY;BYHOUR=8,9",
        starts_at=START,
        exdates=["2025-06-06T08:00:00"],
        rdates=["2025-06-06T12:00:00"],
        ends_at="2025-06-07T08:30:00",
    )

    assert [time[:16] for time in found] == ["2025-06-06T09:00", "2025-06-06T12:00", "2025-06-07T08:00"]


def test_rules_of_days_and_of_hours_go_together_through_a_clock_change():
    text = "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0\nFREQ=HOURLY;INTERVAL=2;BYMINUTE=0;BYSECOND=0"

    found = local_times(4, kind="rrule", expression=text, timezone=BERLIN, starts_at="2025-03-30T00:00:00")

    assert found == [
        "2025-03-30T00:00:00+01:00",
        "2025-03-30T03:00:00+02:00",
        "2025-03-30T03:30:00+02:00",
        "2025-03-30T05:00:00+02:00",
    ]


def test_the_sentence_joins_the_rules_and_the_remarks_are_said_once():
    rule = Rule(kind="cron", expression="30 2 * * *\n30 2 * * 0\n0 10 * * 6", timezone=BERLIN)
    recurrence = compile_rule(rule)

    found = notes_of(rule, start=datetime(2025, 3, 29, tzinfo=UTC), end=datetime(2025, 4, 1, tzinfo=UTC))

    assert recurrence.sentence == (
        "Every day at 02:30; and every Sunday at 02:30; and every Saturday at 10:00 (Europe/Berlin)"
    )
    assert len(found) == 1


@pytest.mark.parametrize(
    ("kind", "expression", "code", "begins"),
    [
        ("rrule", f"{WEEKDAYS}\nFREQ=DAILY;BYHOUR=25", "invalid_rrule", "Line 2: BYHOUR"),
        ("rrule", f"{WEEKDAYS}\n\nFREQ=WRONG", "invalid_rrule", "Line 3: FREQ"),
        ("rrule", f"{WEEKDAYS}\nFREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never_occurs", "Line 2: This rule never"),
        ("cron", "0 8 * * *\n0 0 30 2 *", "never_occurs", "Line 2: This expression never"),
        ("rrule", "\n".join(["FREQ=DAILY"] * 21), "invalid_rrule", "A schedule has at most 20 rules"),
        ("cron", "\n".join(["@daily"] * 21), "invalid_cron", "A schedule has at most 20 rules"),
        ("rrule", "\n \n", "invalid_rrule", "The rule is empty"),
        ("interval", "PT1H\nPT2H", "invalid_interval", "'PT1H"),
    ],
)
def test_a_line_that_is_wrong_is_named(kind, expression, code, begins):
    error = refusal(kind, expression)

    assert (error.code, error.field) == (code, "expression")
    assert error.detail.startswith(begins)


@pytest.mark.parametrize("line", ["DTSTART:20250101T080000", "EXDATE:20250101T080000", "RDATE:20250101T080000"])
def test_other_lines_of_a_calendar_are_refused_with_where_they_go(line):
    for text in (f"{line}\nRRULE:FREQ=DAILY", f"RRULE:FREQ=DAILY\n{line}"):
        error = refusal("rrule", text)

        assert error.code == "invalid_rrule"
        assert error.hint == "Give DTSTART as starts_at, EXDATE as exdates and RDATE as rdates"


def test_what_was_kept_of_one_question_does_not_spoil_another():
    rule = Rule(
        kind="rrule",
        expression="FREQ=MINUTELY;INTERVAL=7\nFREQ=DAILY;BYHOUR=2\nFREQ=WEEKLY;COUNT=3",
        timezone=BERLIN,
        starts_at=datetime(2025, 3, 20, 8),
    )
    recurrence = compile_rule(rule)
    all_of_them = recurrence.occurrences(datetime(2025, 3, 1, tzinfo=ZoneInfo(BERLIN)), 3000)

    for at in (2500, 3, 1700, 0, 2990, 1200, 1201, 1199):
        assert recurrence.next_after(all_of_them[at]) == all_of_them[at + 1]


DEAR = [
    # It is found alone, and not by a twentieth of what a search may cost.
    ("FREQ=HOURLY;INTERVAL=86401;BYHOUR=16", "2026-11-27T16:23:48", "2026-11-27T00:00:00"),
    ("FREQ=SECONDLY;INTERVAL=86401;BYDAY=MO;BYHOUR=9;BYMINUTE=0", "2025-01-01T09:00:00", "2025-04-02T00:00:00"),
    ("FREQ=HOURLY;INTERVAL=4321;BYMONTHDAY=1;BYHOUR=9", "2026-12-01T09:00:00", "2026-12-15T00:00:00"),
]


@pytest.mark.parametrize(("dear", "starts_at", "after"), DEAR)
@pytest.mark.parametrize("place", [0, 3, 19])
def test_a_rule_that_is_dear_to_find_keeps_the_others_from_nothing(dear, starts_at, after, place):
    others = [f"FREQ=DAILY;BYHOUR={hour};BYMINUTE=17" for hour in range(19)]
    asked = {"kind": "rrule", "timezone": BERLIN, "starts_at": starts_at, "after": after}

    with_it = local_times(60, expression="\n".join([*others[:place], dear, *others[place:]]), **asked)
    alone = local_times(1, expression=dear, **asked)
    without_it = local_times(60, expression="\n".join(others), **asked)

    assert with_it == sorted({*without_it, *(time for time in alone if time <= without_it[-1])})[:60]


def test_a_rule_that_is_dear_to_find_occurs_when_its_time_has_come():
    dear, starts_at, _ = DEAR[0]
    others = "\n".join(f"FREQ=YEARLY;BYMONTH=1;BYMONTHDAY={day};BYHOUR=1" for day in range(1, 5))
    asked = {"kind": "rrule", "timezone": BERLIN, "starts_at": starts_at}
    (_, met) = local_times(2, expression=dear, **asked)
    assert met > "2200"

    found = local_times(2000, expression=f"{dear}\n{others}", after=f"{int(met[:4]) - 1}-06-01T00:00:00", **asked)

    assert met in found
