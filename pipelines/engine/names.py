"""What the expressions of a run see."""

from datetime import UTC, datetime
from typing import Any

from pipelines.document.nodes import Pipeline
from pipelines.engine.ports import RunContext


def names_of_run(pipeline: Pipeline, context: RunContext) -> dict[str, Any]:
    """The names at the start of a run; results join `steps` as their steps end."""
    return {
        "params": pipeline.merge_params(context.params),
        "steps": {},
        "run": dict(context.run),
        "task": dict(context.task),
        "event": None if context.event is None else dict(context.event),
        "now": instant_text(context.now),
        "error": None,
    }


def instant_text(instant: datetime) -> str:
    """An instant as documents show it: UTC with `Z`."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
