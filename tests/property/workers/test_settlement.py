"""The laws of settlement and of backoff, for every policy and every ending."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.document.nodes import Backoff, RetryPolicy
from pipelines.engine.backoff import delay_after, least_delay_after
from pipelines.engine.ports import Failed, Parked, Succeeded
from pipelines.errors import ErrorClass, PipelineError
from scheduling.runs.states import EDGES, FailureCause, RunState
from workers.settlement import Canceled, HandedBack, TimedOut, settle

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CODES = ["timeout", "refused", "in_doubt", "http_503"]

seconds = st.floats(0.001, 100_000).map(lambda value: timedelta(seconds=value))
errors = st.builds(
    PipelineError,
    st.sampled_from(CODES),
    st.sampled_from(ErrorClass),
    st.just("no"),
    retry_after=st.none() | st.floats(),
)
endings = st.one_of(
    st.just(Succeeded({"n": 1})),
    st.builds(Failed, errors),
    st.builds(TimedOut, errors),
    st.just(Canceled()),
    st.builds(HandedBack, seconds),
    st.builds(Parked, seconds.map(lambda delay: NOW + delay), st.just("send")),
)


@st.composite
def policies(draw: st.DrawFn, *, jitter: bool | None = None) -> RetryPolicy:
    initial = draw(seconds)
    return RetryPolicy(
        max_attempts=draw(st.integers(1, 100)),
        backoff=draw(st.sampled_from(Backoff)),
        initial=initial,
        maximum=max(initial, draw(seconds)),
        factor=draw(st.floats(1, 10)),
        jitter=draw(st.booleans()) if jitter is None else jitter,
        max_elapsed=draw(st.none() | seconds),
        on=frozenset(draw(st.sets(st.sampled_from([*map(str, ErrorClass), *CODES])))),
    )


@given(policies(), st.integers(1, 10_000), st.integers())
def test_a_delay_lies_between_its_least_and_its_cap(policy, failures, seed):
    delay = delay_after(policy, failures, Random(seed))

    assert least_delay_after(policy, failures) - MICROSECOND <= delay <= policy.maximum
    assert delay > timedelta(0) or policy.initial < 2 * MICROSECOND


@given(policies(jitter=False), st.integers(1, 10_000))
@example(RetryPolicy(max_attempts=99, initial=timedelta(seconds=1), maximum=timedelta(hours=1), factor=1.1), 66)
@example(RetryPolicy(max_attempts=99, initial=timedelta(0), factor=100), 10_000)
def test_without_jitter_a_delay_is_what_its_formula_says_up_to_the_cap(policy, failures):
    growth = {
        Backoff.EXPONENTIAL: Decimal(policy.factor) ** (failures - 1),
        Backoff.LINEAR: Decimal(failures),
        Backoff.FIXED: Decimal(1),
    }[policy.backoff]
    exact = min(Decimal(policy.initial.total_seconds()) * growth, Decimal(policy.maximum.total_seconds()))

    delay = delay_after(policy, failures, Random(0))

    assert float(exact) * (1 - 1e-9) - 1e-6 <= delay.total_seconds() <= float(exact) * (1 + 1e-9) + 1e-6


@given(policies(jitter=False), st.integers(1, 1000))
def test_without_jitter_no_delay_is_shorter_than_the_one_before(policy, failures):
    before, after = (delay_after(policy, count, Random(0)) for count in (failures, failures + 1))

    assert policy.initial <= before <= after


@given(policies(jitter=True), st.integers(1, 1000), st.integers())
def test_jitter_takes_at_most_half(policy, failures, seed):
    with_jitter = delay_after(policy, failures, Random(seed))
    capped = 2 * least_delay_after(policy, failures)

    assert capped / 2 - MICROSECOND <= with_jitter <= capped + MICROSECOND


@given(
    endings,
    policies(),
    st.integers(1, 120),
    seconds,
    st.none() | seconds.map(lambda delay: NOW + delay),
    st.integers(),
)
@example(
    Failed(PipelineError("in_doubt", ErrorClass.PERMANENT, "no")), RetryPolicy(max_attempts=9), 1, NOW - NOW, None, 0
)
def test_every_ending_is_settled_by_the_rules(ending, policy, attempt, elapsed, deadline_at, seed):
    settlement = settle(
        ending, attempt=attempt, retry=policy, elapsed=elapsed, deadline_at=deadline_at, rng=Random(seed)
    )

    assert settlement.state in EDGES[RunState.RUNNING]
    assert settlement.is_final == (settlement.state not in {RunState.QUEUED, RunState.WAITING})
    assert (settlement.cause is not None) == (settlement.state is RunState.FAILED)
    assert settlement.attempt - attempt == (1 if settlement.name == "retried" else 0)
    if isinstance(ending, Parked):
        assert settlement.until == min(ending.until, deadline_at or ending.until)
    if settlement.name == "handed_back":
        assert isinstance(ending, HandedBack)
    if settlement.name != "retried":
        return

    assert isinstance(ending, Failed | TimedOut)
    assert settlement.attempt <= policy.max_attempts
    assert policy.covers(error_class=ending.error.error_class, code=ending.error.code)
    assert ending.error.code != "in_doubt"
    assert settlement.delay >= least_delay_after(policy, attempt) - MICROSECOND
    assert settlement.delay >= ending.error.asked_wait
    assert settlement.delay <= max(policy.maximum, timedelta(days=366))
    assert policy.max_elapsed is None or elapsed + settlement.delay <= policy.max_elapsed


@given(errors, policies(), st.integers(1, 120), seconds, st.booleans())
def test_a_failure_that_ends_a_run_has_the_cause_that_ended_it(error, policy, attempt, elapsed, is_late):
    ending = TimedOut(error) if is_late else Failed(error)
    settlement = settle(ending, attempt=attempt, retry=policy, elapsed=elapsed, deadline_at=None, rng=Random(0))

    if settlement.state is not RunState.FAILED:
        return
    match settlement.cause:
        case FailureCause.IN_DOUBT:
            assert error.code == "in_doubt"
        case FailureCause.DEADLINE:
            assert is_late
        case FailureCause.EXHAUSTED:
            assert policy.covers(error_class=error.error_class, code=error.code)
            assert attempt >= policy.max_attempts or policy.max_elapsed is not None
        case cause:
            assert cause is FailureCause.PERMANENT
            assert not policy.covers(error_class=error.error_class, code=error.code)
