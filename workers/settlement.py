"""What becomes of a run when its slot is done with it: a pure decision, written down by the journal afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from pipelines.document.nodes import RetryPolicy
from pipelines.engine.backoff import delay_after
from pipelines.engine.ports import Failed, Parked, Succeeded
from pipelines.errors import ErrorClass, PipelineError
from scheduling.runs.states import FailureCause, RunState

IN_DOUBT = "in_doubt"
TOOLS_MISSING = "tools_missing"
_TOOLS_MISSING_DELAY = timedelta(seconds=30)
CANCELED = PipelineError("canceled", ErrorClass.CANCELED, "the run was canceled")


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt's time was over before the engine was."""

    error: PipelineError


@dataclass(frozen=True, slots=True)
class Canceled:
    """Somebody asked for the end of the run."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The process gives the run back unfinished and unjudged: a drain, or a tool that this host lacks.

    `error` says why, where the run itself is concerned.
    """

    delay: timedelta = timedelta(0)
    error: PipelineError | None = None


Ending = Succeeded | Failed | Parked | TimedOut | Canceled | HandedBack


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What is written of a run: its end, or its return to the queue (`is_final` False).

    A run that returns is available again at `until`, or `delay` after the write by the database's clock. `attempt`
    is the one that comes next, or the last. `wait_path` names the step that a parked run waits at.
    """

    state: RunState
    attempt: int
    is_final: bool
    cause: FailureCause | None = None
    output: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    until: datetime | None = None
    delay: timedelta = timedelta(0)
    handbacks: int = 0
    wait_path: str | None = None

    @property
    def name(self) -> str:
        """The word that metrics and logs use: a final state, `retried`, `parked` or `handed_back`."""
        if self.is_final:
            return str(self.state)
        if self.state is RunState.WAITING:
            return "parked"
        return "handed_back" if self.handbacks else "retried"


def settle(
    ending: Ending,
    *,
    attempt: int,
    retry: RetryPolicy,
    elapsed: timedelta,
    deadline_at: datetime | None,
    rng: Random,
) -> Settlement:
    """Decide. `elapsed` is the time since the run's first start; `rng` draws the jitter of a delay."""
    match ending:
        case Succeeded(outputs=outputs):
            return Settlement(state=RunState.SUCCEEDED, attempt=attempt, is_final=True, output=outputs)
        case Parked(until=until, path=path, asked=asked):
            # Past its deadline a parked run is woken to fail.
            wake_at = until if deadline_at is None else min(until, deadline_at)
            return Settlement(
                state=RunState.WAITING,
                attempt=attempt,
                is_final=False,
                until=wake_at,
                wait_path=None if asked else path,  # the question's own row says what is waited for
            )
        case HandedBack(delay=delay, error=reason):
            told = None if reason is None else reason.as_dict()
            return Settlement(
                state=RunState.QUEUED, attempt=attempt, is_final=False, delay=delay, handbacks=1, error=told
            )
        case Canceled():
            return Settlement(state=RunState.CANCELED, attempt=attempt, is_final=True, error=CANCELED.as_dict())
        case Failed(error=error) if error.error_class is ErrorClass.CANCELED:
            return Settlement(state=RunState.CANCELED, attempt=attempt, is_final=True, error=error.as_dict())
        case Failed(error=error) | TimedOut(error=error):
            return _settle_failure(
                error,
                attempt=attempt,
                retry=retry,
                elapsed=elapsed,
                rng=rng,
                is_late=isinstance(ending, TimedOut),
            )


def without_delay(settlement: Settlement) -> Settlement:
    """The same for a run whose waits pass at once: its next attempt, if there is one, is due now."""
    is_retried = settlement.state is RunState.QUEUED and not settlement.handbacks
    return replace(settlement, delay=timedelta()) if is_retried else settlement


def _settle_failure(
    error: PipelineError, *, attempt: int, retry: RetryPolicy, elapsed: timedelta, rng: Random, is_late: bool
) -> Settlement:
    if _covers(retry, error) and error.code != IN_DOUBT and attempt < retry.max_attempts:
        delay = max(delay_after(retry, attempt, rng), error.asked_wait)
        if retry.max_elapsed is None or elapsed + delay <= retry.max_elapsed:
            return Settlement(
                state=RunState.QUEUED, attempt=attempt + 1, is_final=False, delay=delay, error=error.as_dict()
            )
    return Settlement(
        state=RunState.FAILED,
        attempt=attempt,
        is_final=True,
        cause=_cause(error, retry=retry, is_late=is_late),
        error=error.as_dict(),
    )


def _cause(error: PipelineError, *, retry: RetryPolicy, is_late: bool) -> FailureCause:
    if error.code == IN_DOUBT:
        return FailureCause.IN_DOUBT
    if is_late:
        return FailureCause.DEADLINE
    return FailureCause.EXHAUSTED if _covers(retry, error) else FailureCause.PERMANENT


def _covers(retry: RetryPolicy, error: PipelineError) -> bool:
    return retry.covers(error_class=error.error_class, code=error.code)


def refused(attempt: int, error: Exception) -> Settlement:
    """The end of a run whose own end could not be written."""
    refusal = PipelineError("journal_refused", ErrorClass.INTERNAL, f"the result cannot be stored: {error}")
    return Settlement(
        state=RunState.FAILED,
        attempt=attempt,
        is_final=True,
        cause=FailureCause.PERMANENT,
        error={**refusal.as_dict(), "detail": refusal.detail.encode("ascii", "replace").decode()[:1000]},
    )


def tools_missing(host: str, detail: str) -> HandedBack:
    """For another host. Why is kept with the run, so that whoever asks why it does not start is told."""
    error = PipelineError(TOOLS_MISSING, ErrorClass.TRANSIENT, f"the worker host {host} lacks it: {detail}"[:1000])
    return HandedBack(_TOOLS_MISSING_DELAY, error)


def timed_out() -> TimedOut:
    return TimedOut(PipelineError("timeout", ErrorClass.TIMEOUT, "the time of this attempt of the run is over"))
