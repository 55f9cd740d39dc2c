"""The shape of a document as JSON Schema: which fields there are and of what type.

The kinds of steps bring their own fields. What a schema cannot say (that a step has one kind, that names exist) is
checked by `compilation`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.document import limits
from pipelines.document.problems import Problem, pointer_to
from pipelines.document.schemas import Breach, Schema, compile_schema

NAME_PATTERN = "^[a-z][a-z0-9_]*$"

_DURATION = {"type": "string", "description": "An ISO 8601 duration such as PT30S, PT1H30M or P1D."}
_TEMPLATE = {"description": "Any value; strings may hold ${expressions}."}

RETRY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "max_attempts": {"type": "integer", "minimum": 1, "maximum": limits.MAX_ATTEMPTS, "default": 3},
        "backoff": {"enum": ["exponential", "linear", "fixed"], "default": "exponential"},
        "initial": _DURATION,
        "max": _DURATION,
        "factor": {"type": "number", "minimum": 1, "maximum": 100, "default": 2},
        "jitter": {"type": "boolean", "default": False},
        "max_elapsed": _DURATION,
        "on": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    },
}

FIXTURE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "output": _TEMPLATE,
        "error": {
            "type": "object",
            "additionalProperties": False,
            "required": ["code"],
            "properties": {
                "code": {"type": "string", "minLength": 1},
                "class": {
                    "enum": ["transient", "timeout", "permanent", "validation", "expression", "limit", "rejected"]
                },
                "detail": {"type": "string"},
            },
        },
        "delay": _DURATION,
        "when": {"type": ["string", "boolean"]},
    },
}

STEP_FIELDS: dict[str, Any] = {
    "id": {"type": "string", "pattern": NAME_PATTERN, "maxLength": 100},
    "save_as": {"type": "string", "pattern": NAME_PATTERN, "maxLength": 100},
    "if": {"type": ["string", "boolean"], "description": "A condition; false: the step is skipped, its result null."},
    "timeout": _DURATION,
    "retry": RETRY,
    "continue_on_error": {"type": "boolean"},
    "simulate": {"description": "'real', a fixture, a list of fixtures, one an attempt; true: no run calls the tool."},
    "description": {"type": "string"},
}

# The steps in it are checked one by one; published schemas have a reference in its place.
STEP_LIST: dict[str, Any] = {
    "type": "array",
    "maxItems": limits.MAX_STEPS_WRITTEN,
    "description": "Steps, run in order.",
}

DOCUMENT_FIELDS: dict[str, Any] = {
    "version": {"const": 1},
    "params": {"type": "object"},
    "params_schema": {"type": ["object", "boolean"]},
    "steps": STEP_LIST,
    "on_error": STEP_LIST,
    "finally": STEP_LIST,
    "outputs": {"type": "object"},
    "assert": {"type": "array", "items": {"type": "string"}},
    "limits": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"max_steps": {"type": "integer", "minimum": 1, "maximum": limits.MAX_STEPS_STARTED}},
    },
}

_CODES = {
    "additionalProperties": "unknown_field",
    "required": "missing_field",
    "type": "wrong_type",
}

# What other systems, and our predecessor, call things.
_OTHER_WORDS = {
    "timeout_seconds": "write timeout: PT30S",
    "max_retries": "write retry: {max_attempts: 3}",
    "foreach": "the kind is called for_each",
    "input": "the input of a tool is called with",
    "inputs": "the input of a tool is called with",
    "args": "the input of a tool is called with",
    "tool": "the tool is named by uses",
    "when": "the condition is called if",
    "name": "a step is named by id",
    "output": "write save_as: name",
    "pipeline": "the list is called steps in version 1",
}


def object_of(fields: Mapping[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    """The schema of an object with these fields and no others."""
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": dict(fields)}


def check_shape(value: Any, schema: Mapping[str, Any], pointer: str) -> Iterator[tuple[Breach, Problem]]:
    """Every departure of the value at `pointer` from `schema`, and the problem it is."""
    compiled: Schema = compile_schema(schema)
    for breach in compiled.breaches(value):
        yield breach, problem_of(breach, pointer)


def problem_of(breach: Breach, pointer: str) -> Problem:
    unknown = breach.keyword == "additionalProperties"
    other = _OTHER_WORDS.get(str(breach.path[-1])) if unknown else None
    return Problem(
        pointer=pointer_to(pointer, *breach.path),
        code=_CODES.get(breach.keyword, "invalid_value"),
        detail=breach.detail,
        hint=other or breach.hint,
    )
