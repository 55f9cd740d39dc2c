"""Jitter puts a start off and never changes what it is a start of, whatever the rule."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.core.planning import MisfirePolicy, plan
from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from tests.effort import examples
from tests.property.core.rules import anchors, cron_expressions, rrules, zones

START = datetime(2025, 3, 1, tzinfo=UTC)
rules = st.one_of(
    st.tuples(st.just("cron"), cron_expressions()),
    st.tuples(st.just("rrule"), rrules(freqs=("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"))),
    st.tuples(st.just("interval"), st.integers(1, 100_000).map(lambda seconds: f"PT{seconds}S")),
)
jitters = st.integers(1, 10 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


@settings(max_examples=examples(200), deadline=None)
@given(rules, zones, anchors, jitters, st.text(max_size=8))
def test_a_start_comes_after_its_instant_and_before_the_next_one(rule, zone, anchor, jitter, seed):
    kind, expression = rule
    try:
        recurrence = compile_rule(Rule(kind=kind, expression=expression, timezone=zone, starts_at=anchor))
    except ScheduleError:
        return
    occurrences = recurrence.occurrences(START, 4)
    if len(occurrences) < 4:
        return
    misfire = MisfirePolicy(policy="all", grace=timedelta(days=36_500))

    def planned():
        return plan(
            recurrence, misfire=misfire, next_fire_at=occurrences[0], now=occurrences[2], jitter=jitter, seed=seed
        )

    found = planned()

    assert [firing.scheduled_for for firing in found.fire] == occurrences[:3]
    for firing, following in zip(found.fire, occurrences[1:], strict=True):
        assert firing.scheduled_for <= firing.available_at < min(following, firing.scheduled_for + jitter)
    assert planned() == found


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(["skip", "last", "all"]), st.integers(0, 6), st.integers(0, 8), st.integers(0, 12))
def test_no_more_fire_than_remain_and_the_mark_stands_behind_them(policy, remaining, grace_hours, late_hours):
    hourly = compile_rule(Rule(kind="cron", expression="0 * * * *"))
    misfire = MisfirePolicy(policy=policy, grace=timedelta(hours=grace_hours))
    now = START + timedelta(hours=late_hours, minutes=30)

    free = plan(hourly, misfire=misfire, next_fire_at=START, now=now)
    limited = plan(hourly, misfire=misfire, next_fire_at=START, now=now, remaining=remaining)

    assert limited.fire == free.fire[:remaining]
    if not remaining:
        assert limited.is_completed
    elif len(free.fire) > remaining:
        assert limited.next_fire_at == free.fire[remaining].scheduled_for
    else:
        assert limited == free
