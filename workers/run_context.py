"""What the expressions of a run see of it, made of its brief."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pipelines.engine.ports import RunContext
from workers.briefing import Brief
from workers.encoding import decode


def context_of(brief: Brief, *, reads: Collection[str]) -> RunContext:
    """`reads` are the names that the run's pipeline reads; others are left empty, because to make them takes a tenth of
    the time of a short run."""
    run = brief.run
    params = decode(run.params) if "params" in reads else None
    return RunContext(
        run=_run(brief) if "run" in reads else {},
        task=_task(brief) if "task" in reads else {},
        params=params if isinstance(params, dict) else {},
        now=run.started_at,
        event=brief.event,
        run_attempt=run.attempt,
        simulated=bool(run.simulated),
    )


def _run(brief: Brief) -> Mapping[str, Any]:
    run = brief.run
    return {
        "id": brief.run_text,
        "attempt": run.attempt,
        "scheduled_for": _instant(run.scheduled_for),
        "started_at": _instant(run.started_at),
        "trigger": run.trigger_kind,
        "simulated": bool(run.simulated),
    }


def _task(brief: Brief) -> Mapping[str, Any]:
    return {"id": brief.task_text, "title": brief.task.title, "labels": brief.task.labels}


def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")
