"""`task.run`: start another task, and go on."""

from collections.abc import Mapping
from typing import Any

from pipelines.tools.base import SideEffect, ToolContext, tool
from pipelines.tools.own_database import own_database
from pipelines.tools.start_errors import start_error
from scheduling.errors import SchedulingError
from scheduling.runs.operations import start_child_once

INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["task"],
    "additionalProperties": False,
    "properties": {
        "task": {"type": "string", "minLength": 1, "maxLength": 200, "description": "The key of a task of this agent."},
        "params": {"type": "object", "description": "Laid over the task's own, key by key."},
    },
}
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["run_id"],
    "properties": {"run_id": {"type": "string"}},
}
EXAMPLES = (
    {
        "input": {"task": "send-invoice", "params": {"order": 7}},
        "output": {"run_id": "019a3c52-1f6e-7b1a-9d3e-2c4f5a6b7c8d"},
    },
)


def simulate(_context: ToolContext, /, **_given: Any) -> dict[str, Any]:
    """Nothing is started."""
    return {"run_id": "simulated"}


@tool(
    name="task.run",
    input_schema=INPUT_SCHEMA,
    output_schema=OUTPUT_SCHEMA,
    side_effect=SideEffect.IDEMPOTENT,
    simulate=simulate,
    examples=EXAMPLES,
    trusted=True,
)
def task_run(context: ToolContext, *, task: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Start another task of the run's agent, and give the id of its run without waiting for it.

    Once for each step of a run, however often the step is tried. The step `run` starts one and can wait for it.
    """
    with own_database():
        try:
            run_id = start_child_once(
                run_id=context.run_id, idempotency_key=context.idempotency_key, key=task, params=params or {}
            )
        except SchedulingError as error:
            raise start_error(error) from error
    return {"run_id": run_id}
