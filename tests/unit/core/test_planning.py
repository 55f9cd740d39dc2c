"""What the clock decides about a due schedule, and about a start of a busy task."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.core.planning import (
    MAX_COUNTED,
    MAX_FIRED,
    MisfirePolicy,
    MissReason,
    OverlapDecision,
    Plan,
    UnknownOverlapPolicyError,
    decide_overlap,
    plan,
)
from scheduling.core.recurrence import Recurrence, Rule, compile_rule

NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOURLY = compile_rule(Rule(kind="cron", expression="0 * * * *"))
EVERY_MINUTE = compile_rule(Rule(kind="cron", expression="* * * * *"))
EVERY_SECOND = compile_rule(Rule(kind="interval", expression="PT1S", starts_at=datetime(2020, 1, 1)))


def planned(
    recurrence: Recurrence, *, since: datetime, now: datetime, policy: str = "last", **options: timedelta | int | None
) -> Plan:
    misfire = MisfirePolicy(policy=policy, **options)  # type: ignore[arg-type]
    return plan(recurrence, misfire=misfire, next_fire_at=since, now=now)


def test_an_occurrence_within_its_grace_fires_on_time():
    found = planned(HOURLY, since=NOON, now=NOON + timedelta(seconds=60))

    assert [(firing.scheduled_for, firing.available_at, firing.late) for firing in found.fire] == [(NOON, NOON, False)]
    assert (found.missed, found.next_fire_at, found.is_completed) == ((), NOON + timedelta(hours=1), False)


def test_a_mark_in_the_future_fires_nothing():
    found = planned(HOURLY, since=NOON, now=NOON - timedelta(seconds=1))

    assert (found.fire, found.missed, found.next_fire_at) == ((), (), NOON)


def test_everything_within_the_grace_fires():
    found = planned(EVERY_MINUTE, since=NOON, now=NOON + 3 * MINUTE, grace=timedelta(minutes=5))

    assert [firing.scheduled_for for firing in found.fire] == [NOON + count * MINUTE for count in range(4)]
    assert found.next_fire_at == NOON + 4 * MINUTE


def test_skip_counts_misfires_as_one_span():
    now = NOON + timedelta(hours=5, minutes=30)

    found = planned(HOURLY, since=NOON, now=now, policy="skip")

    (span,) = found.missed
    assert (found.fire, span.first, span.last) == ((), NOON, NOON + timedelta(hours=5))
    assert (span.count, span.at_least, span.reason) == (6, False, MissReason.POLICY_SKIP)
    assert found.next_fire_at == NOON + timedelta(hours=6)


def test_last_runs_the_newest_misfire_and_counts_the_others():
    found = planned(HOURLY, since=NOON, now=NOON + timedelta(hours=5, minutes=30))

    (firing,), (span,) = found.fire, found.missed
    assert (firing.scheduled_for, firing.late) == (NOON + timedelta(hours=5), True)
    assert (span.first, span.last, span.count) == (NOON, NOON + timedelta(hours=4), 5)
    assert span.reason == MissReason.SUPERSEDED


def test_all_runs_misfires_up_to_the_limit_the_newest():
    found = planned(HOURLY, since=NOON, now=NOON + timedelta(hours=5, minutes=30), policy="all", limit=2)

    assert [firing.scheduled_for.hour for firing in found.fire] == [16, 17]
    (span,) = found.missed
    assert (span.count, span.last, span.reason) == (4, NOON + timedelta(hours=3), MissReason.OVER_LIMIT)


def test_all_runs_misfires_inside_the_window_only():
    now = NOON + timedelta(hours=5, minutes=30)

    found = planned(HOURLY, since=NOON, now=now, policy="all", limit=2, window=timedelta(hours=4))

    assert [firing.scheduled_for.hour for firing in found.fire] == [16, 17]
    assert [(span.first.hour, span.last.hour, span.count, span.reason) for span in found.missed] == [
        (12, 13, 2, MissReason.OUTSIDE_WINDOW),
        (14, 15, 2, MissReason.OVER_LIMIT),
    ]


def test_misfires_and_punctual_occurrences_come_apart():
    found = planned(EVERY_MINUTE, since=NOON, now=NOON + 10 * MINUTE + timedelta(seconds=5))

    assert [(firing.scheduled_for.minute, firing.late) for firing in found.fire] == [(9, True), (10, False)]
    assert [span.count for span in found.missed] == [9]


@pytest.mark.parametrize(("policy", "caught_up"), [("skip", 0), ("last", 1), ("all", 100)])
def test_counting_stops_and_says_so(policy, caught_up):
    now = NOON + timedelta(days=365)

    found = planned(EVERY_SECOND, since=NOON, now=now, policy=policy)

    late = [firing.scheduled_for for firing in found.fire if firing.late]
    newest_misfire = now - timedelta(seconds=61)
    assert late == [newest_misfire - timedelta(seconds=count) for count in reversed(range(caught_up))]
    (span,) = found.missed
    assert (span.count, span.at_least, span.first) == (MAX_COUNTED, True, NOON)
    assert span.last == newest_misfire - timedelta(seconds=caught_up)
    assert sum(not firing.late for firing in found.fire) == 61


@pytest.mark.parametrize(("over", "fired"), [(0, 1), (1, 0)])
def test_what_is_exactly_as_late_as_the_window_is_inside_of_it(over: int, fired: int):
    hours = timedelta(hours=2)
    now = NOON + hours + timedelta(microseconds=over)

    found = planned(HOURLY, since=NOON, now=now, policy="all", window=hours, grace=timedelta(0))

    assert [firing.scheduled_for for firing in found.fire].count(NOON) == fired


def test_what_is_too_late_for_the_window_has_its_own_span_however_many_there_are():
    now = NOON + timedelta(days=1)
    hour = timedelta(hours=1)

    found = planned(EVERY_SECOND, since=NOON, now=now, policy="all", window=hour, grace=timedelta(0))

    outside, over_limit = found.missed
    assert (outside.reason, outside.first, outside.last) == (
        MissReason.OUTSIDE_WINDOW,
        NOON,
        now - hour - timedelta(seconds=1),
    )
    assert (outside.count, outside.at_least) == (MAX_COUNTED, True)
    assert (over_limit.reason, over_limit.first, over_limit.count, over_limit.at_least) == (
        MissReason.OVER_LIMIT,
        now - hour,
        3600 - 100,
        False,
    )
    assert over_limit.last == found.fire[0].scheduled_for - timedelta(seconds=1)


def test_a_mark_that_is_no_occurrence_and_outside_of_the_window_gives_no_empty_span():
    now = NOON + timedelta(days=1)
    since = now - timedelta(hours=3, milliseconds=500)

    found = planned(EVERY_SECOND, since=since, now=now, policy="all", window=timedelta(hours=3), grace=timedelta(0))

    (span,) = found.missed
    assert (span.reason, span.first) == (MissReason.OVER_LIMIT, now - timedelta(hours=3))


def test_a_plan_fires_no_more_than_its_bound_with_what_it_catches_up():
    found = planned(EVERY_SECOND, since=NOON, now=NOON + 2 * timedelta(hours=1), grace=timedelta(hours=1))

    assert len(found.fire) == MAX_FIRED
    assert found.fire[0].late
    assert found.next_fire_at == found.fire[-1].scheduled_for + timedelta(seconds=1)


def test_a_long_grace_is_worked_off_pass_by_pass():
    now = NOON + timedelta(hours=1)

    found = planned(EVERY_SECOND, since=NOON, now=now, grace=timedelta(days=1))

    assert len(found.fire) == MAX_FIRED
    assert found.next_fire_at == NOON + timedelta(seconds=MAX_FIRED)


def test_a_schedule_that_has_no_next_occurrence_is_completed():
    once = compile_rule(Rule(kind="once", expression="2025-06-02T12:00:00Z"))

    found = planned(once, since=NOON, now=NOON)

    assert (len(found.fire), found.next_fire_at, found.is_completed) == (1, None, True)


def test_every_occurrence_is_accounted_for_once():
    since, now = NOON, NOON + timedelta(hours=3, seconds=30)

    found = planned(EVERY_MINUTE, since=since, now=now, policy="all", limit=7, window=timedelta(hours=1))

    accounted = [firing.scheduled_for for firing in found.fire]
    for span in found.missed:
        inside = EVERY_MINUTE.occurrences(span.first - MINUTE / 2, span.count)
        assert inside[-1] == span.last
        accounted += inside
    assert sorted(accounted) == [since + count * MINUTE for count in range(181)]


def test_jitter_is_stable_and_stays_before_the_next_occurrence():
    def available(seed: str, jitter: timedelta) -> list[datetime]:
        misfire = MisfirePolicy(grace=timedelta(hours=1))
        found = plan(EVERY_MINUTE, misfire=misfire, next_fire_at=NOON, now=NOON + 20 * MINUTE, jitter=jitter, seed=seed)
        assert [firing.scheduled_for for firing in found.fire] == [NOON + count * MINUTE for count in range(21)]
        return [firing.available_at for firing in found.fire]

    spread = available("a", timedelta(hours=2))

    assert spread == available("a", timedelta(hours=2))
    assert spread != available("b", timedelta(hours=2))
    assert all(timedelta(0) <= at - NOON - count * MINUTE < MINUTE for count, at in enumerate(spread))
    assert len({at.second for at in spread}) > 10
    assert available("a", timedelta(0)) == [NOON + count * MINUTE for count in range(21)]


def test_an_unknown_misfire_policy_is_refused():
    with pytest.raises(ValueError, match="sometimes"):
        MisfirePolicy(policy="sometimes")


@pytest.mark.parametrize(
    ("policy", "live", "held", "decision"),
    [
        ("allow", 3, 2, OverlapDecision.START),
        ("skip", 0, 0, OverlapDecision.START),
        ("skip", 1, 0, OverlapDecision.SKIP),
        ("skip", 0, 1, OverlapDecision.SKIP),
        ("queue_one", 0, 0, OverlapDecision.START),
        ("queue_one", 1, 0, OverlapDecision.HOLD),
        ("queue_one", 1, 1, OverlapDecision.SKIP),
        ("queue_all", 0, 0, OverlapDecision.START),
        ("queue_all", 1, 7, OverlapDecision.HOLD),
        ("cancel_running", 0, 0, OverlapDecision.START),
        ("cancel_running", 1, 0, OverlapDecision.CANCEL_AND_HOLD),
        ("cancel_running", 0, 1, OverlapDecision.CANCEL_AND_HOLD),
    ],
)
def test_overlap_is_decided_by_what_runs_and_what_waits(policy, live, held, decision):
    assert decide_overlap(policy, live=live, held=held) is decision


@pytest.mark.parametrize(
    ("policy", "held", "decision"),
    [
        ("skip", 0, OverlapDecision.HOLD),
        ("skip", 1, OverlapDecision.SKIP),
        ("queue_one", 0, OverlapDecision.HOLD),
        ("queue_one", 1, OverlapDecision.SKIP),
        ("queue_all", 3, OverlapDecision.HOLD),
        ("cancel_running", 0, OverlapDecision.CANCEL_AND_HOLD),
    ],
)
def test_the_first_that_comes_while_a_backfilled_run_is_live_waits_for_it(policy, held, decision):
    assert decide_overlap(policy, live=1, held=held, is_backfilled=True) is decision


def test_an_unknown_overlap_policy_is_refused():
    with pytest.raises(UnknownOverlapPolicyError):
        decide_overlap("sometimes", live=0, held=0)
