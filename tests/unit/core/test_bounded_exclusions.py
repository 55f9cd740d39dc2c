"""What exclusions cost a search: so many are allowed as it can pass over."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduling.core.preview import preview
from scheduling.core.recurrence import MAX_EXDATES, Exclusions, Rule, ScheduleError, compile_rule
from tests.unit.core.costs import TEN_YEARS_AGO, TODAY, at_most, cost_of_compiling

EVERY_HOUR_BUT_ONE = ",".join(str(hour) for hour in range(23))


def next_ones(expression: str, count: int) -> list[datetime]:
    rule = Rule(kind="rrule", expression=expression, timezone="Europe/Berlin", starts_at=TEN_YEARS_AGO)
    zone = ZoneInfo("Europe/Berlin")
    return [at.astimezone(zone).replace(tzinfo=None) for at in compile_rule(rule).occurrences(TODAY, count)]


@pytest.mark.parametrize(
    "expression",
    [
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=MINUTELY;INTERVAL=1439;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=DAILY;INTERVAL=11;BYMONTHDAY=13;BYDAY=FR",
    ],
)
@pytest.mark.parametrize("lines", [1, 20])
def test_exclusions_of_all_that_comes_next_cost_20_milliseconds_at_worst(lines, expression):
    # Twenty rules of the same times that are not the same words.
    rules = "\n".join(f"{expression};BYSECOND=0{',0' * number}" for number in range(lines))
    taken = [at for at in next_ones(expression, MAX_EXDATES // lines) if at < datetime(2064, 1, 1)]
    fields: Any = {"timezone": "Europe/Berlin", "starts_at": TEN_YEARS_AGO}
    compile_rule(Rule(kind="rrule", expression=rules, exdates=tuple(taken), **fields))

    cost = cost_of_compiling(rules, exdates=tuple(taken), **fields)
    bare = cost_of_compiling(rules, **fields)

    assert cost - bare <= 0.03  # 20 ms on a quiet machine; tests share theirs


@pytest.mark.parametrize(
    ("lines", "exdates", "detail"),
    [
        (1, [datetime(2026, 1, 1) + day * timedelta(days=1) for day in range(301)], "at most 300 times; here are 301"),
        (20, [datetime(2026, 1, 1) + day * timedelta(days=1) for day in range(16)], "counted for each of 20 rules"),
        (1, [datetime(2026, 1, 1), datetime(2066, 2, 1)], "more than 40 years apart"),
    ],
)
def test_more_exclusions_than_a_search_may_have_to_pass_over_are_refused(lines, exdates, detail):
    expression = "\n".join(f"{minute} 8 * * *" for minute in range(lines))

    with pytest.raises(ScheduleError, match=detail) as refused:
        compile_rule(Rule(kind="cron", expression=expression, exdates=tuple(exdates)))

    assert (refused.value.code, refused.value.field) == ("too_many_exdates", "exdates")


def test_spans_are_counted_for_each_of_several_rules():
    spans = [(TODAY + hour * timedelta(hours=2), TODAY + (hour * 2 + 1) * timedelta(hours=1)) for hour in range(900)]
    calendar = Exclusions("busy", spans=spans)

    compile_rule(Rule(kind="cron", expression="0 8 * * *\n0 9 * * *", calendars=(calendar,)))
    with pytest.raises(ScheduleError, match="counted for each of 3 rules") as refused:
        compile_rule(Rule(kind="cron", expression="0 8 * * *\n0 9 * * *\n0 7 * * *", calendars=(calendar,)))

    assert (refused.value.code, refused.value.field) == ("too_many_stretches", "calendars")


def test_the_notes_on_exclusions_in_gaps_are_bounded():
    lines = "\n".join(f"FREQ=SECONDLY;INTERVAL={7 + each};BYHOUR={EVERY_HOUR_BUT_ONE}" for each in range(3))
    taken = tuple(datetime(2025, 3, 30, 2) + each * timedelta(seconds=3) for each in range(100))
    rule = Rule(kind="rrule", expression=lines, timezone="Europe/Berlin", starts_at=datetime(2025, 1, 1), exdates=taken)

    with at_most(0.3):
        found = preview(rule, after=datetime(2025, 3, 29, tzinfo=UTC), now=TODAY, count=10_000)

    assert "What is excluded from 2025-03-30 on is not noted here." in found.notes
