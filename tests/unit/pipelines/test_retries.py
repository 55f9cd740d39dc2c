"""Attempts: budgets, delays, parking, and what is done about calls whose end nobody saw."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from pipelines.document.nodes import Backoff, RetryPolicy
from pipelines.engine.backoff import delay_after, least_delay_after
from pipelines.engine.ports import Failed, Parked, StepState, Succeeded
from tests.unit.pipelines.world import START, World, document, failing, permanent, transient

S, F, INTERRUPTED = StepState.SUCCEEDED, StepState.FAILED, StepState.INTERRUPTED


def seconds(delay: timedelta) -> float:
    return delay.total_seconds()


def policy(initial: float, **more) -> RetryPolicy:
    return RetryPolicy(max_attempts=10, initial=timedelta(seconds=initial), **more)


@pytest.mark.parametrize(
    ("backoff", "initial", "delays"),
    [
        (Backoff.EXPONENTIAL, 2, [2, 4, 8, 16, 32, 60, 60]),
        (Backoff.LINEAR, 2, [2, 4, 6, 8, 10, 12, 14]),
        (Backoff.FIXED, 2, [2, 2, 2, 2, 2, 2, 2]),
    ],
)
def test_delays_without_jitter(backoff, initial, delays):
    """Acceptance case 25."""
    chosen = policy(initial, backoff=backoff)

    assert [seconds(delay_after(chosen, failures, Random(0))) for failures in range(1, 8)] == delays


@pytest.mark.parametrize(("failures", "low", "high"), [(1, 0.5, 1), (2, 1, 2), (3, 2, 4), (50, 30, 60), (5000, 30, 60)])
def test_jitter_keeps_the_delay_between_half_and_whole(failures, low, high):
    """Acceptance case 25."""
    chosen, rng = policy(1, jitter=True), Random(7)

    drawn = [seconds(delay_after(chosen, failures, rng)) for _ in range(200)]

    assert low <= min(drawn) < max(drawn) <= high
    assert seconds(least_delay_after(chosen, failures)) == low


def step(**retry) -> dict[str, Any]:
    return {"id": "a", "uses": "fetch", "retry": {"max_attempts": 3, "initial": "PT1S", **retry}}


def test_a_short_backoff_is_slept_and_each_attempt_is_kept(run):
    world = World(behaviour=failing(2, transient))

    outcome = run(world.go(document(step(factor=1))))

    assert outcome == Succeeded({})
    assert world.states == [("a", F, 1), ("a", F, 2), ("a", S, 3)]
    assert world.slept == [timedelta(seconds=1)] * 2
    assert world.entries[0].error["retryable"]


def test_the_older_form_s_two_retries_are_three_attempts(run):
    """Acceptance case 25."""
    world = World(behaviour=failing(9, transient))

    outcome = run(world.finish({"pipeline": [{"id": "a", "uses": "fetch", "max_retries": 2}]}))

    assert isinstance(outcome, Failed)
    assert world.states == [("a", F, 1), ("a", F, 2), ("a", F, 3)]


def test_errors_outside_the_policy_are_not_retried(run):
    world = World(behaviour=failing(1, permanent))

    outcome = run(world.go(document(step())))

    assert isinstance(outcome, Failed)
    assert len(world.calls) == 1


def test_a_code_can_be_retried_like_a_class(run):
    world = World(behaviour=failing(1, permanent))

    outcome = run(world.go(document(step(on=["http_404"]))))

    assert outcome == Succeeded({})


def test_a_backoff_of_more_than_two_seconds_parks_behind_a_barrier(run):
    world = World(behaviour=failing(1, transient))

    outcome = run(world.go(document(step(initial="PT30S"))))

    assert outcome == Parked(START + timedelta(seconds=30), "a")
    assert world.barriers == [True]
    assert world.slept == []


def test_a_parked_run_goes_on_at_its_time_and_not_before(run):
    world = World(behaviour=failing(1, transient))
    written = document(step(initial="PT30S"))
    until = run(world.go(written)).until

    early = run(world.go(written))
    world.instant = until
    outcome = run(world.go(written))

    assert early == Parked(until, "a")
    assert outcome == Succeeded({})
    assert world.states == [("a", F, 1), ("a", S, 2)]


def test_retry_after_is_honoured_where_it_is_longer(run):
    world = World(behaviour=failing(1, lambda: transient(retry_after=90)))

    outcome = run(world.go(document(step())))

    assert outcome == Parked(START + timedelta(seconds=90), "a")


def test_no_attempt_starts_later_than_max_elapsed_after_the_first(run):
    world = World(behaviour=failing(9, transient))

    outcome = run(world.finish(document(step(max_attempts=9, backoff="fixed", initial="PT2S", max_elapsed="PT5S"))))

    assert isinstance(outcome, Failed)
    assert [seconds((entry.started_at or START) - START) for entry in world.entries] == [0, 2, 4]


def test_a_new_attempt_of_the_run_has_a_new_budget_and_attempt_numbers_go_on(run):
    world = World(behaviour=failing(9, transient))
    written = document(step(max_attempts=2, factor=1))
    run(world.go(written))
    world.run_attempt = 2

    run(world.go(written))

    assert world.states == [("a", F, 1), ("a", F, 2), ("a", F, 3), ("a", F, 4)]


def test_a_run_that_died_after_its_last_failure_fails_without_another_call(run):
    world = World(behaviour=failing(9, transient), kill_after=2)

    outcome = run(world.finish(document(step(max_attempts=2, factor=1))))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.attempt) == ("http_503", 2)
    assert len(world.calls) == 2


def test_a_call_in_doubt_is_made_again_with_the_next_attempt_number(run):
    world = World(kill_after=1)

    outcome = run(world.finish(document({"id": "a", "uses": "send"})))

    assert outcome == Succeeded({})
    assert world.states == [("a", INTERRUPTED, 1), ("a", S, 2)]


def test_a_tool_that_must_not_be_repeated_fails_in_doubt(run):
    world = World(kill_after=1)

    outcome = run(world.finish(document({"id": "a", "uses": "charge"})))

    assert (outcome.error.code, outcome.error.step, outcome.error.attempt) == ("in_doubt", "a", 1)
    assert world.states == [("a", F, 1)]
    assert world.calls == []


def test_doubt_can_be_tolerated(run):
    world = World(kill_after=1)
    written = document(
        {"id": "a", "uses": "charge", "continue_on_error": True}, outputs={"code": "${steps.a.error.code}"}
    )

    outcome = run(world.finish(written))

    assert outcome == Succeeded({"code": "in_doubt"})


def test_an_interrupted_attempt_does_not_count_against_the_budget(run):
    world = World(behaviour=failing(2, transient), kill_after=1)
    written = document({"id": "a", "uses": "send", "retry": {"max_attempts": 3, "initial": "PT1S", "factor": 1}})

    outcome = run(world.finish(written))

    assert outcome == Succeeded({})
    assert world.states == [("a", INTERRUPTED, 1), ("a", F, 2), ("a", F, 3), ("a", S, 4)]
