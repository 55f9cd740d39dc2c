"""A run that has been, as a simulation of itself: its document with fixtures, its params, its event."""

from dataclasses import dataclass
from typing import Any

from pipelines.engine.names import instant_text
from pipelines.engine.ports import StepEntry, StepState
from pipelines.servers.offers import current_catalog
from pipelines.simulation.recording import record_fixtures
from scheduling.runs.models import Run
from workers.models import StepRun
from workers.selectors import result_of


@dataclass(frozen=True, slots=True)
class RunRecording:
    """What `manage.py simulate --jsonl` reads as a line, with `notes` on what it cannot tell."""

    document: Any
    params: Any
    event: Any
    notes: list[str]


def record_run(run: Run) -> RunRecording:
    """Record a run, of however many steps. Raises DocumentInvalid where a tool that it used is not there any more."""
    steps = StepRun.objects.filter(run_id=run.pk).order_by("pk")
    recorded = record_fixtures(run.revision.document, map(_entry, steps.iterator()), catalog=current_catalog())
    event = None
    if run.event is not None:
        event = {
            "id": str(run.event.pk),
            "topic": run.event.topic,
            "payload": run.event.payload,
            "at": instant_text(run.event.created_at),
        }
    return RunRecording(recorded.document, run.params or {}, event, list(recorded.notes))


def _entry(step: StepRun) -> StepEntry:
    return StepEntry(
        path=step.path,
        kind=step.kind,
        state=StepState(step.state),
        attempt=step.attempt,
        output=result_of(step),
        error=step.error,
        tolerated=step.is_tolerated,
        started_at=step.started_at,
        finished_at=step.finished_at,
    )
