"""A run that has been, as a simulation of itself: its document with fixtures, its params, its event."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.engine.names import instant_text
from pipelines.engine.ports import StepEntry, StepState
from pipelines.expressions.durations import format_duration
from pipelines.servers.offers import current_catalog
from pipelines.simulation.recording import record_fixtures
from scheduling.runs.models import Run
from scheduling.runs.states import LIVE_STATES, FailureCause, RunState
from workers.models import StepRun
from workers.selectors import result_of

# Nothing of them is in a document: the time-out of the task, and workers that died.
_CAUSES_OF_OUTSIDE = (FailureCause.DEADLINE, FailureCause.QUARANTINED)


@dataclass(frozen=True, slots=True)
class RunRecording:
    """What `manage.py simulate --jsonl` reads as a line, with `notes` on what it cannot tell. `document` has the params
    as its defaults, too;
    `now` is the run's instant (ISO 8601, UTC), None where it has not begun."""

    document: Any
    params: Any
    event: Any
    now: str | None
    notes: list[str]


def record_run(run: Run) -> RunRecording:
    """Record a run, of however many steps. Raises DocumentInvalid where a tool that it used is not there any more."""
    steps = StepRun.objects.filter(run_id=run.pk).order_by("pk")
    params = run.params or {}
    entries = map(_entry, steps.iterator())
    recorded = record_fixtures(run.revision.document, entries, catalog=current_catalog(), params=params)
    event = None
    if run.event is not None:
        event = {
            "id": str(run.event.pk),
            "topic": run.event.topic,
            "payload": run.event.payload,
            "at": instant_text(run.event.created_at),
        }
    now = None if run.started_at is None else instant_text(run.started_at)
    return RunRecording(recorded.document, params, event, now, [*_notes(run), *recorded.notes])


def _notes(run: Run) -> Iterator[str]:
    """What of the run as a whole a simulation of its document does not show."""
    if run.simulated:
        yield "the run was simulated: its answers are those of its simulation, and no tool was called for real"
    if run.state in LIVE_STATES:
        yield "the run has not ended: it is recorded as far as it has come"
    elif run.started_at is None:
        yield f"the run was {run.state} and has never begun: there is nothing to record"
    elif run.state == RunState.CANCELED and run.finished_at is not None:
        after = format_duration(run.finished_at - run.started_at)
        yield f"the run was canceled: a simulation goes on, unless it is canceled too (--cancel-at {after})"
    if run.cause in _CAUSES_OF_OUTSIDE:
        yield f"the run failed by its {run.cause}, which is none of its steps' doing: a simulation knows nothing of it"
    if run.event is not None:
        yield "the event that began the run is not in the document: a simulation of it alone is to be given the event"


def _entry(step: StepRun) -> StepEntry:
    return StepEntry(
        path=step.path,
        kind=step.kind,
        state=StepState(step.state),
        attempt=step.attempt,
        run_attempt=step.run_attempt,
        output=result_of(step),
        error=step.error,
        simulated=step.is_simulated,
        tolerated=step.is_tolerated,
        started_at=step.started_at,
        finished_at=step.finished_at,
    )
