"""`try`: steps whose errors are caught, and steps that run last, whatever happened."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.document.kinds.base import Keys, StepKind, WrittenStep
from pipelines.document.names import RESERVED
from pipelines.document.nodes import CatchClause, TryBody
from pipelines.document.shape import NAME_PATTERN, STEP_LIST, object_of

ANY = "*"


def _compile(step: WrittenStep) -> TryBody | None:
    if not step.has("try"):
        return None
    catches = step.source["catch"] if step.has("catch") else []
    if not catches and "finally" not in step.source and ("catch" not in step.source or step.has("catch")):
        step.refuse("try", "empty", "a try has a catch or a finally", hint="catch: [{on: '*', steps: [...]}]")
    body = step.block("try")
    clauses = tuple(_clause(step, index, written) for index, written in enumerate(catches))
    # What an error has left undone is null: every name of the body is known behind it.
    names = step.names.with_steps(step.compilation.layout.names_inside(step.pointer))
    last = step.block("finally", names=names.inside_last()).steps if step.has("finally") else ()
    return TryBody(steps=body.steps, catches=clauses, last=last)


def _clause(step: WrittenStep, index: int, written: Mapping[str, Any]) -> CatchClause:
    name = written.get("as")
    names = step.names.with_steps(step.compilation.layout.names_inside(step.place("try")))
    if name in RESERVED:
        pointer = step.place("catch", index, "as")
        step.compilation.refuse(pointer, "invalid_value", f"{name!r} is a name of the language", hint="as: err")
    elif name is not None:
        names = names.with_roots(name)
    on = written.get("on", ANY)
    return CatchClause(
        steps=step.block("catch", index, "steps", names=names).steps,
        on=None if on == ANY else frozenset(on),
        name=name,
    )


def _blocks(source: Mapping[str, Any]) -> Iterator[Keys]:
    yield ("try",)
    catches = source.get("catch")
    for index in range(len(catches) if isinstance(catches, list) else 0):
        yield ("catch", index, "steps")
    yield ("finally",)


TRY = StepKind(
    name="try",
    keyword="try",
    fields={
        "try": STEP_LIST,
        "catch": {
            "type": "array",
            "items": object_of(
                {
                    "on": {
                        "anyOf": [
                            {"const": ANY},
                            {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
                        ],
                        "default": ANY,
                        "description": "Classes and codes of errors, or '*' for all.",
                    },
                    "as": {"type": "string", "pattern": NAME_PATTERN, "maxLength": 100},
                    "steps": STEP_LIST,
                },
                required=["steps"],
            ),
        },
        "finally": STEP_LIST,
    },
    required=("try",),
    compile=_compile,
    blocks=_blocks,
)
