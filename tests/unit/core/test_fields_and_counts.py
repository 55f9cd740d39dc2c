"""Corners of cron's day fields, of COUNT over long times, and of what a preview says at its end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduling.core.preview import MAX_EXPRESSION, parse_request, preview
from scheduling.core.recurrence import Rule, ScheduleError, compile_rule

NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)


def days_of(expression: str, count: int) -> list[int]:
    found = compile_rule(Rule(kind="cron", expression=expression)).occurrences(datetime(2025, 3, 1, tzinfo=UTC), count)
    return [at.day for at in found]


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 0 15,*/2 * 1", [3, 5, 7, 9, 10]),
        ("0 0 15W,*/2 * 1", [3, 5, 7, 9, 10]),  # the field does not begin with a star
        ("0 0 */2,15W * 1", [3, 17, 31, 7, 21]),
        ("0 0 15W,1 * *", [14, 1, 15, 1, 15]),
        ("0 0 15W * 1", [3, 10, 14, 17, 24]),
    ],
)
def test_the_day_or_rule_looks_at_how_the_fields_begin(expression: str, days: list[int]) -> None:
    assert days_of(expression, 5) == days


@pytest.mark.parametrize(
    ("expression", "step", "count"),
    [
        ("FREQ=HOURLY;INTERVAL=5;COUNT=195000", timedelta(hours=5), 195_000),
        ("FREQ=HOURLY;INTERVAL=5;COUNT=190000", timedelta(hours=5), 190_000),
        ("FREQ=SECONDLY;INTERVAL=7;COUNT=500000000", timedelta(seconds=7), 500_000_000),
    ],
)
def test_a_count_ends_a_rule_of_another_century(expression: str, step: timedelta, count: int) -> None:
    anchor = datetime(1900, 1, 1)
    recurrence = compile_rule(Rule(kind="rrule", expression=expression, starts_at=anchor))
    last = anchor.replace(tzinfo=UTC) + (count - 1) * step

    assert recurrence.next_after(last - step) == last
    assert recurrence.next_after(last) is None


def test_a_count_over_hours_of_the_day_ends_a_rule_of_another_century() -> None:
    """The last but one of its century, counted day by day, and another of which each day begins alike."""
    anchored: Any = {"kind": "rrule", "starts_at": datetime(1900, 1, 1)}
    endless = compile_rule(Rule(expression="FREQ=HOURLY;INTERVAL=23;BYHOUR=3", **anchored))
    every = endless.occurrences(datetime(1899, 12, 31, tzinfo=UTC), 2_500)
    counted = compile_rule(Rule(expression="FREQ=HOURLY;INTERVAL=23;COUNT=2500;BYHOUR=3", **anchored))

    assert every[-1].year > 2050
    assert counted.next_after(every[-2]) == every[-1]
    assert counted.next_after(every[-1]) is None


@pytest.mark.parametrize(("count", "ends"), [(2, False), (3, True), (4, True)])
def test_a_preview_that_shows_the_last_occurrence_says_so(count: int, ends: bool) -> None:
    rule = Rule(kind="rrule", expression="FREQ=DAILY;COUNT=3", starts_at=datetime(2025, 1, 2))

    found = preview(rule, after=NEW_YEAR, now=NEW_YEAR, count=count)

    assert len(found.next) == min(count, 3)
    assert ("The schedule ends with the last occurrence shown." in found.notes) is ends


def test_an_expression_that_is_too_long_to_be_stored_is_not_previewed() -> None:
    lines = "\n".join("FREQ=DAILY;BYHOUR=" + ",".join(["8"] * 120) for _ in range(18))

    with pytest.raises(ScheduleError, match=f"no more than {MAX_EXPRESSION} characters") as refused:
        parse_request({"kind": "rrule", "expression": lines})

    assert (refused.value.code, refused.value.field) == ("invalid_field", "expression")
