"""Exclusion calendars in the core: what they leave out, what they count, what they cost."""

import json
import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduling.core.backfill import rule_of_words, rule_words
from scheduling.core.preview import preview
from scheduling.core.recurrence import Exclusions, Rule, compile_rule
from scheduling.core.recurrence.remarks import remarks

CHISINAU = "Europe/Chisinau"
CHRISTMAS = Exclusions("holidays", days=[date(2025, 12, 25), date(2025, 12, 26)])


def instants(rule: Rule, after: datetime, count: int) -> list[str]:
    return [each.isoformat() for each in compile_rule(rule).occurrences(after, count)]


def daily(*calendars: Exclusions, **fields: object) -> Rule:
    defaults = {"kind": "cron", "expression": "0 8 * * *", "timezone": CHISINAU, "calendars": calendars}
    return Rule(**{**defaults, **fields})  # type: ignore[arg-type]


def test_a_day_is_the_local_day_of_the_schedule() -> None:
    late = Rule(kind="cron", expression="30 0 * * *", timezone=CHISINAU, calendars=(CHRISTMAS,))

    found = instants(late, datetime(2025, 12, 23, 12, tzinfo=UTC), 2)

    assert found == ["2025-12-23T22:30:00+00:00", "2025-12-26T22:30:00+00:00"]


def test_a_span_excludes_from_its_start_and_ends_before_its_end() -> None:
    outage = Exclusions("outage", spans=[(datetime(2026, 1, 5, 6, tzinfo=UTC), datetime(2026, 1, 6, 6, tzinfo=UTC))])

    found = instants(daily(outage), datetime(2026, 1, 4, tzinfo=UTC), 3)

    assert found == ["2026-01-04T06:00:00+00:00", "2026-01-06T06:00:00+00:00", "2026-01-07T06:00:00+00:00"]


def test_count_counts_what_a_calendar_excludes() -> None:
    rule = Rule(
        kind="rrule",
        expression="FREQ=DAILY;COUNT=4",
        timezone=CHISINAU,
        starts_at=datetime(2025, 12, 24, 8),
        calendars=(CHRISTMAS,),
    )

    assert instants(rule, datetime(2025, 12, 1, tzinfo=UTC), 9) == [
        "2025-12-24T06:00:00+00:00",
        "2025-12-27T06:00:00+00:00",
    ]


def test_additions_are_excluded_too() -> None:
    rule = daily(CHRISTMAS, expression="0 8 1 1 *", rdates=(datetime(2025, 12, 25, 9), datetime(2025, 12, 27, 9)))

    assert instants(rule, datetime(2025, 12, 1, tzinfo=UTC), 2) == [
        "2025-12-27T07:00:00+00:00",
        "2026-01-01T06:00:00+00:00",
    ]


def test_a_rule_whose_every_occurrence_is_excluded_ends() -> None:
    once = Rule(kind="once", expression="2025-12-25T08:00:00", timezone=CHISINAU, calendars=(CHRISTMAS,))

    assert instants(once, datetime(2025, 1, 1, tzinfo=UTC), 1) == []


def test_calendars_add_up() -> None:
    own = Exclusions("own", days=[date(2025, 12, 27)])

    assert instants(daily(CHRISTMAS, own), datetime(2025, 12, 24, 12, tzinfo=UTC), 1) == ["2025-12-28T06:00:00+00:00"]


def test_what_is_excluded_is_noted_with_its_calendar() -> None:
    rule = daily(CHRISTMAS)
    start = datetime(2025, 12, 24, tzinfo=UTC)

    notes = remarks(rule, start=start, end=compile_rule(rule).occurrences(start, 3)[-1])

    assert notes == [
        "2025-12-25 08:00 is excluded by calendar holidays.",
        "2025-12-26 08:00 is excluded by calendar holidays.",
    ]


def test_a_day_that_clocks_going_back_cut_in_two_is_excluded_alone() -> None:
    """At 00:01 on 29 October 2006 St John's went back to 23:01 of the day before."""
    every_minute = Rule(
        kind="cron",
        expression="* * * * *",
        timezone="America/St_Johns",
        calendars=(Exclusions("day", days=[date(2006, 10, 29)]),),
    )

    found = compile_rule(every_minute).occurrences(datetime(2006, 10, 29, 2, 28, tzinfo=UTC), 3)

    offset = timedelta(hours=-2, minutes=-30)
    assert [(each + offset).strftime("%d %H:%M") for each in found[:1]] == ["28 23:59"]
    assert found[1] == datetime(2006, 10, 29, 2, 31, tzinfo=UTC)  # the second 23:01 of the 28th


def test_a_preview_past_what_is_known_of_a_calendar_says_so() -> None:
    known = Exclusions("hol", days=[date(2026, 12, 25)], known_until=datetime(2028, 6, 1, tzinfo=UTC))
    rule = Rule(kind="cron", expression="0 9 25 12 *", timezone="Europe/Berlin", calendars=(known,))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    note = "Calendar hol is read up to 2028-06-01: it may exclude more after it."

    [excluded] = preview(rule, after=now, now=now, count=1).notes
    assert excluded == "2026-12-25 09:00 is excluded by calendar hol."
    assert note in preview(rule, after=now, now=now, count=2).notes
    assert Exclusions.of_words(known.as_words()) == known
    assert known != Exclusions("hol", days=[date(2026, 12, 25)])


def test_equal_calendars_are_equal_and_share_what_is_compiled() -> None:
    again = Exclusions("holidays", days=[date(2025, 12, 26), date(2025, 12, 25)])

    assert again == CHRISTMAS
    assert compile_rule(daily(again)) is compile_rule(daily(CHRISTMAS))
    assert Exclusions("other", days=[date(2025, 12, 25)]) != CHRISTMAS


@pytest.mark.parametrize(
    ("kind", "expression", "step"),
    [("rrule", "FREQ=SECONDLY", 1), ("cron", "0 8 * * 4", 7), ("rrule", "FREQ=MINUTELY;BYDAY=TH", 7)],
)
def test_a_year_of_excluded_days_costs_jumps_and_not_steps(kind: str, expression: str, step: int) -> None:
    days = [date(2026, 1, 1) + timedelta(days=at * step) for at in range(365)]
    rule = Rule(
        kind=kind,
        expression=expression,
        timezone=CHISINAU,
        starts_at=datetime(2010, 1, 1),
        calendars=(Exclusions("days", days=days),),
    )
    recurrence = compile_rule(rule)
    recurrence.next_after(datetime(2026, 1, 1, tzinfo=UTC))
    best = min(_seconds(lambda: recurrence.next_after(datetime(2026, 1, 1, tzinfo=UTC))) for _ in range(5))

    assert best < 0.020


def test_a_long_leap_is_made_once_and_answers_as_steps_would() -> None:
    thursdays = [date(2026, 1, 1) + timedelta(days=7 * at) for at in range(1000)]
    rule = Rule(kind="cron", expression="0 8 * * 4", calendars=(Exclusions("thursdays", days=thursdays),))
    recurrence = compile_rule(rule)
    before, within, behind = (datetime(year, 1, 1, 8, tzinfo=UTC) for year in (2025, 2035, 2046))

    landed = recurrence.next_after(datetime(2025, 12, 30, tzinfo=UTC))
    again = min(_seconds(lambda: recurrence.next_after(within)) for _ in range(5))

    assert landed == recurrence.next_after(within) == datetime(2045, 3, 2, 8, tzinfo=UTC)
    assert recurrence.next_after(before) == datetime(2025, 1, 2, 8, tzinfo=UTC)
    assert recurrence.next_after(behind) == datetime(2046, 1, 4, 8, tzinfo=UTC)
    assert again < 0.001


def fridays_the_13th(count: int) -> list[date]:
    months = (date(2026 + at // 12, at % 12 + 1, 13) for at in range(12 * 600))
    return [day for day in months if day.weekday() == 4][:count]


@pytest.mark.parametrize(
    "expression",
    ["FREQ=YEARLY;BYDAY=FR;BYMONTHDAY=13;BYHOUR=8", "FREQ=HOURLY;BYDAY=FR;BYMONTHDAY=13", "FREQ=DAILY;BYMONTHDAY=13"],
)
@pytest.mark.parametrize("ending", ["", ";COUNT=400"])
def test_rare_days_that_are_all_excluded_are_passed_at_once(expression: str, ending: str) -> None:
    rule = Rule(
        kind="rrule",
        expression=expression + ending,
        timezone="Europe/Berlin",
        starts_at=datetime(2026, 1, 1),
        calendars=(Exclusions("fridays", days=fridays_the_13th(999)),),
    )
    recurrence = compile_rule(rule)

    def search() -> None:
        recurrence._leap = None
        recurrence.next_after(datetime(2026, 1, 1, tzinfo=UTC))

    assert min(_seconds(search) for _ in range(5)) < 0.020


@pytest.mark.parametrize("zone", ["America/Nuuk", "Pacific/Apia", "America/St_Johns", "Africa/Cairo", "Europe/Berlin"])
@pytest.mark.parametrize("gap", ["shift", "next", "skip"])
@pytest.mark.parametrize("free", [(1, 0), (5, 3), (7, 2)])
def test_a_leap_over_days_finds_what_steps_find(zone: str, gap: str, free: tuple[int, int]) -> None:
    begin = date(2011, 10, 1) if zone == "Pacific/Apia" else date(2024, 3, 1)
    days = [begin + timedelta(days=at) for at in range(260) if at % free[0] != free[1]] if free[0] > 1 else []
    days = days or [begin + timedelta(days=at) for at in range(0, 260, 2)]
    fields = {
        "kind": "rrule",
        "expression": "FREQ=DAILY;BYHOUR=0,2,23;BYMINUTE=0,30",
        "timezone": zone,
        "starts_at": datetime(2011, 1, 1),
        "gap": gap,
        "rdates": (datetime(begin.year, begin.month + 1, 9, 12, 1),),
    }
    start = datetime(begin.year, begin.month, begin.day, tzinfo=UTC)
    excluded, info = set(days), ZoneInfo(zone)

    stepped = [
        at
        for at in compile_rule(Rule(**fields)).occurrences(start, 1500)  # type: ignore[arg-type]
        if at.astimezone(info).date() not in excluded
    ]
    leapt = compile_rule(
        Rule(**fields, calendars=(Exclusions("days", days=days),))  # type: ignore[arg-type]
    ).occurrences(start, len(stepped))

    assert leapt == stepped


def test_a_leap_to_nowhere_is_kept_too() -> None:
    thursdays = [date(2026, 1, 1) + timedelta(days=7 * at) for at in range(1000)]
    rule = Rule(
        kind="cron",
        expression="0 8 * * 4",
        ends_at=datetime(2040, 1, 1, tzinfo=UTC),
        calendars=(Exclusions("thursdays", days=thursdays),),
    )
    recurrence = compile_rule(rule)

    assert recurrence.next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None
    assert recurrence.next_after(datetime(2030, 1, 1, tzinfo=UTC)) is None
    assert recurrence.next_after(datetime(2025, 1, 1, tzinfo=UTC)) == datetime(2025, 1, 2, 8, tzinfo=UTC)


def _seconds(call: object) -> float:
    began = time.thread_time()
    call()  # type: ignore[operator]
    return time.thread_time() - began


def test_a_rule_with_calendars_can_be_kept_as_words_and_read_again() -> None:
    outage = Exclusions("outage", spans=[(datetime(2026, 1, 5, 6, tzinfo=UTC), datetime(2026, 1, 6, 6, tzinfo=UTC))])
    rule = daily(CHRISTMAS, outage)

    words = json.loads(json.dumps(rule_words(rule)))

    assert rule_of_words(words) == rule
    assert compile_rule(rule_of_words(words)) is compile_rule(rule)
