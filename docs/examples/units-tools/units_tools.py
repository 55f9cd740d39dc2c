"""Units of measure for pipelines."""

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import SideEffect, ToolContext, tool

FACTORS = {"km": 1.0, "mi": 1.609344}


@tool(
    name="units.convert",
    input_schema={
        "type": "object",
        "required": ["value", "from", "to"],
        "additionalProperties": False,
        "properties": {
            "value": {"type": "number"},
            "from": {"enum": list(FACTORS)},
            "to": {"enum": list(FACTORS)},
        },
    },
    output_schema={
        "type": "object",
        "required": ["value"],
        "properties": {"value": {"type": "number"}},
    },
    side_effect=SideEffect.PURE,
    examples=[{"input": {"value": 1, "from": "mi", "to": "km"}, "output": {"value": 1.609344}}],
)
def convert(context: ToolContext, *, value: float, to: str, **given: str) -> dict[str, float]:
    """Convert a length between kilometres and miles."""
    if value < 0:
        raise PipelineError("bad_argument", ErrorClass.VALIDATION, "units.convert: a length is not negative")
    return {"value": value * FACTORS[given["from"]] / FACTORS[to]}
