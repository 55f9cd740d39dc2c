"""`for_each` and `while`: steps that run again and again, each time with results of their own."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.document import limits
from pipelines.document.kinds.base import Keys, StepKind, WrittenStep
from pipelines.document.names import RESERVED
from pipelines.document.nodes import ForEachBody, WhileBody
from pipelines.document.shape import NAME_PATTERN, STEP_LIST

ITEM = "item"
_BODY: Keys = ("steps",)


def _compile_for_each(step: WrittenStep) -> ForEachBody | None:
    names = step.names.inside_loop(step.id, hidden=ITEM, known=(_item_of(step), "index"))
    block = step.block(*_BODY, names=names) if step.has("steps") else None
    collect = None
    if "collect" in step.source:
        seen = block.names if block is not None else names
        collect = step.compilation.value(step.source["collect"], step.place("collect"), seen)
    if "for_each" not in step.source or block is None:
        return None
    items = step.value("for_each")
    if not items.templates and not isinstance(items.source, list):
        step.refuse("for_each", "wrong_type", "this is never a list", hint='for_each: "${steps.found}", or [1, 2, 3]')
    return ForEachBody(
        items=items,
        steps=block.steps,
        item=_item_of(step),
        concurrency=step.source["concurrency"] if step.has("concurrency") else 1,
        max_failures=step.source["max_failures"] if step.has("max_failures") else 0,
        collect=collect,
    )


def _item_of(step: WrittenStep) -> str:
    """The name of an iteration's item; one that the language uses is refused."""
    if not step.has("as"):
        return ITEM
    name = str(step.source["as"])
    if name in RESERVED - {ITEM}:
        step.refuse("as", "invalid_value", f"{name!r} is a name of the language", hint="as: city")
    return name


def _compile_while(step: WrittenStep) -> WhileBody | None:
    # The steps of the iteration before are seen by the condition and the body, null at first.
    inside = step.compilation.layout.names_inside(step.place(*_BODY))
    names = step.names.inside_loop(step.id, known=("index",)).with_steps(inside)
    condition = None
    if step.has("while"):
        condition = step.compilation.condition(step.source["while"], step.place("while"), names)
    block = step.block(*_BODY, names=names) if step.has("steps") else None
    if condition is None or block is None or not step.has("max_iterations"):
        return None
    return WhileBody(condition=condition, max_iterations=step.source["max_iterations"], steps=block.steps)


def _blocks(_: Mapping[str, Any]) -> Iterator[Keys]:
    yield _BODY


FOR_EACH = StepKind(
    name="for_each",
    keyword="for_each",
    fields={
        "for_each": {"type": ["array", "string"], "description": "The list, or an expression for it."},
        "steps": STEP_LIST,
        "as": {"type": "string", "pattern": NAME_PATTERN, "maxLength": 100, "default": ITEM},
        "concurrency": {
            "type": "integer",
            "minimum": 1,
            "maximum": limits.MAX_CONCURRENCY,
            "default": 1,
            "description": "Iterations that run at a time.",
        },
        "max_failures": {
            "type": "integer",
            "minimum": 0,
            "default": 0,
            "description": "Iterations that may fail; the result of such a one is {error: ...}.",
        },
        "collect": {"description": "What an iteration contributes to the result, else the result of its last step."},
    },
    required=("for_each", "steps"),
    compile=_compile_for_each,
    blocks=_blocks,
    is_loop=True,
)

WHILE = StepKind(
    name="while",
    keyword="while",
    fields={
        "while": {"type": ["string", "boolean"], "description": "Asked before each iteration."},
        "max_iterations": {
            "type": "integer",
            "minimum": 1,
            "maximum": limits.MAX_STEPS_STARTED,
            "description": "Wanting one more fails.",
        },
        "steps": STEP_LIST,
    },
    required=("while", "max_iterations", "steps"),
    compile=_compile_while,
    blocks=_blocks,
    is_loop=True,
)
