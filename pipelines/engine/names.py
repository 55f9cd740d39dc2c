"""What the expressions of a run see."""

from datetime import UTC, datetime
from typing import Any

from pipelines.document.nodes import Pipeline
from pipelines.engine.ports import RunContext


def names_of_run(pipeline: Pipeline, context: RunContext) -> dict[str, Any]:
    """The names at the start of a run, of `EVERYWHERE` those that the pipeline reads; results join `steps` as their
    steps end."""
    names: dict[str, Any] = {"steps": {}, "error": None}
    for name in pipeline.reads:
        match name:
            case "params":
                names[name] = pipeline.merge_params(context.params)
            case "run":
                names[name] = dict(context.run)
            case "task":
                names[name] = dict(context.task)
            case "event":
                names[name] = None if context.event is None else dict(context.event)
            case "now":
                names[name] = instant_text(context.now)
    return names


def instant_text(instant: datetime) -> str:
    """An instant as documents show it: UTC with `Z`."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
