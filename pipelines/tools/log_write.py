"""`log.write`: a line in the log of the worker."""

import logging
from collections.abc import Mapping
from typing import Any

import structlog

from pipelines.tools.base import SideEffect, ToolContext, tool
from pipelines.tools.plain_text import neutralised

logger = structlog.get_logger(__name__)

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LONGEST_MESSAGE = 8 * 1024
_DEEPEST = 20

INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["message"],
    "additionalProperties": False,
    "properties": {
        "message": {"type": "string", "description": "Cut after 8,192 characters."},
        "level": {"enum": list(_LEVELS), "default": "info"},
        "fields": {"type": "object", "description": "Values that go with the message, under `fields`."},
    },
}
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["logged"],
    "properties": {"logged": {"const": True}},
}
EXAMPLES = ({"input": {"message": "Umbrella day: 4 mm", "level": "info"}, "output": {"logged": True}},)


def simulate(_context: ToolContext, /, **_given: Any) -> dict[str, Any]:
    return {"logged": True}


@tool(
    name="log.write",
    input_schema=INPUT_SCHEMA,
    output_schema=OUTPUT_SCHEMA,
    side_effect=SideEffect.IDEMPOTENT,
    simulate=simulate,
    examples=EXAMPLES,
)
async def log_write(
    context: ToolContext, *, message: str, level: str = "info", fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write a line to the worker's log, with the ids of the run and the step.

    Line breaks and terminal escapes are written as escapes. A repeated attempt writes the line again; the idempotency
    key in it tells repeats apart.
    """
    bound = logger.bind(
        run_id=context.run_id,
        task_id=context.task_id,
        step=context.step_path,
        attempt=context.attempt,
        idempotency_key=context.idempotency_key,
    )
    if fields:
        bound = bound.bind(fields=_harmless(fields))
    bound.log(_LEVELS[level], neutralised(message, limit=_LONGEST_MESSAGE))
    return {"logged": True}


def _harmless(value: Any, depth: int = 0) -> Any:
    """`value` with every string in it, keys included, neutralised; what lies deeper than 20 levels is cut."""
    if isinstance(value, str):
        return neutralised(value, limit=_LONGEST_MESSAGE)
    if depth >= _DEEPEST and isinstance(value, (Mapping, list)):
        return "…"
    if isinstance(value, Mapping):
        return {neutralised(str(key)): _harmless(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_harmless(inner, depth + 1) for inner in value]
    return value
