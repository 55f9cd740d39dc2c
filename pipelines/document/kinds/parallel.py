"""`parallel`: branches side by side."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.document import limits
from pipelines.document.kinds.base import Keys, StepKind, WrittenStep
from pipelines.document.nodes import ParallelBody
from pipelines.document.shape import NAME_PATTERN, STEP_LIST, object_of


def _compile(step: WrittenStep) -> ParallelBody | None:
    if not step.has("parallel"):
        return None
    written = step.source["parallel"]
    if not written["branches"]:
        step.compilation.refuse(step.place("parallel", "branches"), "empty", "a parallel has at least one branch")
    # Each sees what is known before all of them: none runs before another.
    branches = {name: step.block("parallel", "branches", name).steps for name in written["branches"]}
    return ParallelBody(branches=branches, is_any=written.get("mode") == "any")


def _blocks(source: Mapping[str, Any]) -> Iterator[Keys]:
    written = source["parallel"]
    branches = written.get("branches") if isinstance(written, Mapping) else None
    for name in branches if isinstance(branches, Mapping) else ():
        yield ("parallel", "branches", name)


PARALLEL = StepKind(
    name="parallel",
    keyword="parallel",
    fields={
        "parallel": object_of(
            {
                "branches": {
                    "type": "object",
                    "propertyNames": {"type": "string", "pattern": NAME_PATTERN, "maxLength": 100},
                    "additionalProperties": STEP_LIST,
                    "maxProperties": limits.MAX_CONCURRENCY,
                },
                "mode": {
                    "enum": ["all", "any"],
                    "default": "all",
                    "description": "all: the first failure stops the others; any: the first success does.",
                },
            },
            required=["branches"],
        )
    },
    required=("parallel",),
    compile=_compile,
    blocks=_blocks,
)
