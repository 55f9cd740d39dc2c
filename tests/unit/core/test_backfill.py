"""The occurrences of a past range, all of them and slice by slice."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from scheduling.core.backfill import next_slice, occurrences_in, rule_of_words, rule_words
from scheduling.core.recurrence import Exclusions, Rule, ScheduleError, compile_rule

DAILY = compile_rule(Rule(kind="cron", expression="30 2 * * *", timezone="Europe/Berlin"))
HOURLY = compile_rule(Rule(kind="cron", expression="0 * * * *"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_both_ends_belong_to_the_range():
    found = occurrences_in(HOURLY, start=at("2026-03-01T10:00"), end=at("2026-03-01T12:00"))

    assert found == [at("2026-03-01T10:00"), at("2026-03-01T11:00"), at("2026-03-01T12:00")]


def test_a_range_between_two_occurrences_is_empty():
    assert occurrences_in(HOURLY, start=at("2026-03-01T10:01"), end=at("2026-03-01T10:59")) == []


def test_the_days_of_a_clock_change_have_their_policy():
    spring = occurrences_in(DAILY, start=at("2025-03-29T00:00"), end=at("2025-03-31T23:00"))

    # 02:30 does not exist on the 30th: cron runs at the first instant after the gap.
    assert spring == [at("2025-03-29T01:30"), at("2025-03-30T01:00"), at("2025-03-31T00:30")]


def test_one_more_than_the_limit_is_refused_with_the_end_that_would_do():
    with pytest.raises(ScheduleError) as refused:
        occurrences_in(HOURLY, start=at("2026-03-01T00:00"), end=at("2026-03-01T05:00"), limit=5)

    assert (refused.value.code, refused.value.field) == ("too_many_occurrences", "end")
    assert "2026-03-01T04:00:00Z" in (refused.value.hint or "")
    assert len(occurrences_in(HOURLY, start=at("2026-03-01T00:00"), end=at("2026-03-01T04:00"), limit=5)) == 5


def test_counting_stops_when_its_time_is_over():
    asked: list[bool] = []

    def is_time_over() -> bool:
        asked.append(True)
        return len(asked) == 2

    with pytest.raises(ScheduleError) as refused:
        occurrences_in(HOURLY, start=at("2020-01-01T00:00"), end=at("2026-01-01T00:00"), is_time_over=is_time_over)

    assert refused.value.code == "range_too_long"
    assert "128 occurrences" in refused.value.detail


def test_slices_follow_one_another_to_the_end():
    start, end = at("2026-03-01T00:00"), at("2026-03-01T04:00")

    first = next_slice(HOURLY, cursor=start, end=end, limit=3)
    rest = next_slice(HOURLY, cursor=first.cursor_at, end=end, limit=3)

    assert [each.hour for each in first.occurrences] == [0, 1, 2]
    assert not first.is_last
    assert [each.hour for each in rest.occurrences] == [3, 4]
    assert rest.is_last
    assert rest.cursor_at == end + timedelta(microseconds=1)


def test_a_slice_that_ends_with_the_range_is_the_last():
    only = next_slice(HOURLY, cursor=at("2026-03-01T00:00"), end=at("2026-03-01T02:30"), limit=3)

    assert len(only.occurrences) == 3
    assert only.is_last


def test_a_slice_whose_time_is_over_is_short_and_goes_on_from_there():
    start, end = at("2026-03-01T00:00"), at("2026-03-01T04:00")

    short = next_slice(HOURLY, cursor=start, end=end, limit=3, is_time_over=lambda: True)

    assert (short.occurrences, short.is_last) == ((start,), False)
    assert next_slice(HOURLY, cursor=short.cursor_at, end=end, limit=1).occurrences == (at("2026-03-01T01:00"),)


def test_a_slice_of_nothing_leaves_the_cursor_where_it_is():
    nothing = next_slice(HOURLY, cursor=at("2026-03-01T00:00"), end=at("2026-03-01T02:30"), limit=0)

    assert nothing.occurrences == ()
    assert nothing.cursor_at == at("2026-03-01T00:00")
    assert not nothing.is_last


def test_the_words_of_a_rule_are_the_rule_again():
    rule = Rule(
        kind="rrule",
        expression="FREQ=DAILY",
        timezone="Pacific/Apia",
        starts_at=datetime(2011, 12, 1, 8),
        ends_at=at("2012-02-01T00:00"),
        exdates=(datetime(2011, 12, 24, 8), datetime(2011, 12, 25, 8)),
        gap="skip",
        calendars=(
            Exclusions(
                "feasts",
                days=[date(2011, 12, 25), date(2011, 12, 26), date(2012, 1, 1)],
                spans=[(at("2012-01-07T00:00"), at("2012-01-08T12:00"))],
            ),
        ),
    )

    assert rule_of_words(json.loads(json.dumps(rule_words(rule)))) == rule
