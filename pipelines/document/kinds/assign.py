"""`set: {a: v}`: evaluate an object."""

from pipelines.document.kinds.base import StepKind, WrittenStep
from pipelines.document.nodes import SetBody


def _compile(step: WrittenStep) -> SetBody | None:
    return SetBody(step.value("set")) if step.has("set") else None


SET = StepKind(name="set", keyword="set", fields={"set": {"type": "object"}}, required=("set",), compile=_compile)
