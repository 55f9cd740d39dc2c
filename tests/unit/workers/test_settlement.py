"""What becomes of a run: every ending, every policy."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from pipelines.document.nodes import NO_RETRY
from pipelines.engine.ports import Failed, Parked, Succeeded
from pipelines.errors import ErrorClass, PipelineError
from scheduling.runs.states import EDGES, FailureCause, RunState
from workers.retries import parse_retry
from workers.settlement import Canceled, HandedBack, TimedOut, settle

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def error(error_class=ErrorClass.TRANSIENT, code="refused", **fields):
    return PipelineError(code, error_class, "no", **fields)


def decide(ending, *, attempt=1, retry=None, elapsed=0.0, deadline_at=None):
    return settle(
        ending,
        attempt=attempt,
        retry=NO_RETRY if retry is None else parse_retry(retry),
        elapsed=timedelta(seconds=elapsed),
        deadline_at=deadline_at,
        rng=Random(1),
    )


def test_success_is_final_and_keeps_its_outputs():
    settlement = decide(Succeeded({"n": 1}))

    assert (settlement.state, settlement.is_final, settlement.output) == (RunState.SUCCEEDED, True, {"n": 1})


@pytest.mark.parametrize(
    ("failure", "retry", "attempt", "cause"),
    [
        (error(), None, 1, FailureCause.EXHAUSTED),
        (error(ErrorClass.PERMANENT), {"max_attempts": 3}, 1, FailureCause.PERMANENT),
        (error(), {"max_attempts": 3}, 3, FailureCause.EXHAUSTED),
        (error(code="in_doubt"), {"max_attempts": 3}, 1, FailureCause.IN_DOUBT),
        (error(ErrorClass.VALIDATION), {"max_attempts": 3, "on": ["transient"]}, 1, FailureCause.PERMANENT),
    ],
)
def test_a_failure_that_is_not_tried_again_names_its_cause(failure, retry, attempt, cause):
    settlement = decide(Failed(failure), retry=retry, attempt=attempt)

    assert (settlement.state, settlement.is_final, settlement.cause) == (RunState.FAILED, True, cause)
    assert settlement.error["code"] == failure.code


@pytest.mark.parametrize("on", [["transient"], ["refused"]])
def test_a_class_or_a_code_is_tried_again(on):
    settlement = decide(Failed(error()), retry={"max_attempts": 2, "on": on})

    assert (settlement.state, settlement.is_final, settlement.attempt) == (RunState.QUEUED, False, 2)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2), (2, 4), (3, 8), (4, 10)])
def test_the_delay_doubles_up_to_its_cap(attempt, seconds):
    retry = {"max_attempts": 9, "initial": "PT2S", "max": "PT10S"}

    assert decide(Failed(error()), retry=retry, attempt=attempt).delay == timedelta(seconds=seconds)


@pytest.mark.parametrize(("attempt", "low", "high"), [(1, 0.5, 1), (2, 1, 2), (3, 2, 4), (20, 30, 60)])
def test_jitter_takes_at_most_half_of_the_delay(attempt, low, high):
    retry = {"max_attempts": 99, "jitter": True}

    delay = decide(Failed(error()), retry=retry, attempt=attempt).delay.total_seconds()

    assert low <= delay <= high


def test_the_other_side_may_ask_for_more_time():
    settlement = decide(Failed(error(retry_after=90.0)), retry={"max_attempts": 2})

    assert settlement.delay == timedelta(seconds=90)


def test_no_attempt_starts_past_the_time_that_all_may_take():
    retry = {"max_attempts": 9, "initial": "PT10S", "max_elapsed": "PT60S"}

    assert not decide(Failed(error()), retry=retry, elapsed=50).is_final
    assert decide(Failed(error()), retry=retry, elapsed=51).is_final


def test_an_attempt_that_was_too_long_is_retried_by_policy_and_else_past_its_deadline():
    late = TimedOut(error(ErrorClass.TIMEOUT, code="timeout"))

    assert decide(late).cause is FailureCause.DEADLINE
    assert not decide(late, retry={"max_attempts": 2}).is_final


def test_a_parked_run_is_woken_at_its_deadline_at_the_latest():
    parked = Parked(NOW + timedelta(hours=2), "send")

    assert decide(parked).until == NOW + timedelta(hours=2)
    assert decide(parked, deadline_at=NOW + timedelta(hours=1)).until == NOW + timedelta(hours=1)


def test_a_hand_back_costs_no_attempt():
    settlement = decide(HandedBack(timedelta(seconds=30)), attempt=2)

    assert (settlement.attempt, settlement.handbacks, settlement.delay) == (2, 1, timedelta(seconds=30))


@pytest.mark.parametrize("ending", [Canceled(), Failed(error(ErrorClass.CANCELED, code="canceled"))])
def test_a_canceled_run_is_canceled_whatever_its_policy(ending):
    settlement = decide(ending, retry={"max_attempts": 5, "on": ["canceled"]})

    assert (settlement.state, settlement.is_final) == (RunState.CANCELED, True)


@pytest.mark.parametrize(
    "ending", [Succeeded({}), Parked(NOW), HandedBack(), Canceled(), Failed(error()), TimedOut(error())]
)
def test_every_settlement_follows_an_edge_from_running(ending):
    assert decide(ending).state in EDGES[RunState.RUNNING]
