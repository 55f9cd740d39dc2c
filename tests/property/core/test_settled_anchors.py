"""A rule planned from its settled anchor fires at what its own anchor names: plans are shared on the strength of it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduling.core.recurrence import Rule, ScheduleError, compile_rule, settled_anchor
from tests.effort import examples
from tests.property.core.rules import any_rrules, cron_expressions, folds, gaps, zones

FREQS = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
DAYS = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
anchors = st.datetimes(datetime(1960, 1, 1), datetime(2026, 1, 1)).map(lambda at: at.replace(fold=0))
expressions = st.one_of(
    st.tuples(st.just("cron"), cron_expressions()),
    st.tuples(st.just("rrule"), any_rrules(freqs=FREQS, most_interval=4)),
    st.tuples(st.just("rrule"), any_rrules(freqs=DAYS, most_interval=1)),
)


@settings(deadline=None, max_examples=examples(400))
@given(words=expressions, anchor=anchors, zone=zones, gap=gaps, fold=folds, hours=st.integers(0, 4000))
def test_the_occurrences_after_the_mark_are_the_same(words, anchor, zone, gap, fold, hours):
    kind, expression = words
    rule = {"kind": kind, "expression": expression, "timezone": zone, "gap": gap, "fold": fold}
    since = anchor.replace(tzinfo=UTC) + timedelta(days=3, hours=hours)
    settled = settled_anchor(kind, expression, anchor, since=since)
    assume(settled != anchor)
    try:
        own = compile_rule(Rule(**rule, starts_at=anchor))
    except ScheduleError as error:
        assume(error.code != "never_occurs")
        raise

    assert compile_rule(Rule(**rule, starts_at=settled)).occurrences(since, 6) == own.occurrences(since, 6)


@pytest.mark.parametrize(
    ("kind", "expression", "settled"),
    [
        ("cron", "0 8 * * *", None),
        ("rrule", "FREQ=DAILY", "1972-01-01 09:30:15"),
        ("rrule", "FREQ=DAILY;BYMONTH=3", "1972-01-01 09:30:15"),
        ("rrule", "FREQ=WEEKLY;BYDAY=MO;BYHOUR=8", "1972-01-01 09:30:15"),
        ("rrule", "FREQ=MONTHLY;BYMONTHDAY=-1", "1972-01-01 09:30:15"),
        ("rrule", "FREQ=YEARLY;BYYEARDAY=100", "1972-01-01 09:30:15"),
    ],
)
def test_rules_that_count_nothing_share_an_anchor(kind, expression, settled):
    anchor = datetime(2020, 5, 5, 9, 30, 15)

    found = settled_anchor(kind, expression, anchor, since=datetime(2026, 1, 1, tzinfo=UTC))

    assert (found if found is None else str(found)) == settled


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("interval", "PT15M"),
        ("once", "2026-01-01T08:00:00Z"),
        ("rrule", "FREQ=DAILY;INTERVAL=2"),
        ("rrule", "FREQ=DAILY;COUNT=5000"),
        ("rrule", "FREQ=WEEKLY"),
        ("rrule", "FREQ=MONTHLY;BYHOUR=8"),
        ("rrule", "FREQ=YEARLY;BYMONTH=2"),
        ("rrule", "FREQ=YEARLY;BYWEEKNO=20"),
        ("rrule", "FREQ=HOURLY"),
        ("rrule", "FREQ=DAILY\nFREQ=WEEKLY"),
        ("rrule", "no rule"),
    ],
)
def test_rules_that_count_or_take_their_day_keep_their_own(kind, expression):
    anchor = datetime(2020, 5, 5, 9, 30, 15)

    assert settled_anchor(kind, expression, anchor, since=datetime(2026, 1, 1, tzinfo=UTC)) == anchor


def test_an_anchor_that_may_lie_ahead_is_kept():
    since = datetime(2026, 1, 1, tzinfo=UTC)
    for anchor in (datetime(2025, 12, 31), datetime(2027, 1, 1)):
        assert settled_anchor("cron", "0 8 * * *", anchor, since=since) == anchor
        assert settled_anchor("rrule", "FREQ=DAILY", anchor, since=since) == anchor
