"""`switch`: the steps of the first case that holds, and of no other."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.document.kinds.base import Keys, StepKind, WrittenStep
from pipelines.document.nodes import Case, SwitchBody
from pipelines.document.shape import STEP_LIST, object_of


def _compile(step: WrittenStep) -> SwitchBody | None:
    if not step.has("switch"):
        return None
    written = step.source["switch"]
    if not written["cases"]:
        step.refuse("switch", "empty", "a switch has at least one case")
    cases = []
    for index, case in enumerate(written["cases"]):
        when = step.compilation.condition(case["when"], step.place("switch", "cases", index, "when"), step.names)
        block = step.block("switch", "cases", index, "steps")
        if when is not None:
            cases.append(Case(when, block.steps))
    default = step.block("switch", "default").steps if "default" in written else ()
    return SwitchBody(tuple(cases), default)


def _blocks(source: Mapping[str, Any]) -> Iterator[Keys]:
    written = source["switch"]
    if not isinstance(written, Mapping):
        return
    cases = written.get("cases")
    for index in range(len(cases) if isinstance(cases, list) else 0):
        yield ("switch", "cases", index, "steps")
    yield ("switch", "default")


SWITCH = StepKind(
    name="switch",
    keyword="switch",
    fields={
        "switch": object_of(
            {
                "cases": {
                    "type": "array",
                    "items": object_of(
                        {"when": {"type": ["string", "boolean"]}, "steps": STEP_LIST}, ["when", "steps"]
                    ),
                },
                "default": STEP_LIST,
            },
            required=["cases"],
        )
    },
    required=("switch",),
    compile=_compile,
    blocks=_blocks,
)
