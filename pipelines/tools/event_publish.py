"""`event.publish`: something has happened; whoever listens hears of it."""

from collections.abc import Mapping
from typing import Any

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import SideEffect, ToolContext, tool
from pipelines.tools.own_database import own_database
from scheduling.errors import NotValid
from scheduling.events.operations import ListenerHeld, publish_for_run

INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["topic"],
    "additionalProperties": False,
    "properties": {
        "topic": {"type": "string", "maxLength": 200, "description": "Words joined by dots, such as order.paid."},
        "payload": {"type": "object", "description": "What listeners read as event.payload."},
    },
}
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["id", "runs"],
    "properties": {
        "id": {"type": "string"},
        "runs": {"type": "array", "items": {"type": "string"}, "description": "The runs that it has started."},
    },
}
EXAMPLES = (
    {
        "input": {"topic": "order.paid", "payload": {"order": 7}},
        "output": {"id": "019a3c52-1f6e-7b1a-9d3e-2c4f5a6b7c8d", "runs": []},
    },
)


def simulate(_context: ToolContext, /, **_given: Any) -> dict[str, Any]:
    """Nothing is published."""
    return {"id": "simulated", "runs": []}


@tool(
    name="event.publish",
    input_schema=INPUT_SCHEMA,
    output_schema=OUTPUT_SCHEMA,
    side_effect=SideEffect.IDEMPOTENT,
    simulate=simulate,
    examples=EXAMPLES,
    trusted=True,
)
def event_publish(context: ToolContext, *, topic: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Publish an event in the name of the run's agent: it starts the listening tasks and answers the runs that wait.

    Once for each step of a run, however often the step is tried.
    """
    with own_database():
        try:
            published = publish_for_run(
                run_id=context.run_id, key=context.idempotency_key, topic=topic, payload=payload or {}
            )
        except NotValid as error:
            raise PipelineError("bad_argument", ErrorClass.VALIDATION, str(error)) from error
        except ListenerHeld as error:
            raise PipelineError("listener_held", ErrorClass.TRANSIENT, str(error)) from error
    return {"id": str(published.event_id), "runs": [str(run_id) for run_id in published.run_ids]}
