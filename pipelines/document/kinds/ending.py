"""`fail` and `succeed`: end here, badly or well."""

from pipelines.document.kinds.base import StepKind, WrittenStep
from pipelines.document.nodes import FailBody, SucceedBody
from pipelines.document.shape import object_of
from pipelines.errors import ErrorClass
from pipelines.expressions import compile_value

# What a document may fail with; the others are the engine's own verdicts.
_CLASSES = ["permanent", "transient", "timeout", "validation", "expression", "limit", "rejected"]


def _compile_fail(step: WrittenStep) -> FailBody | None:
    if not step.has("fail"):
        return None
    _refuse_at_the_end(step, "fail")
    written = step.source["fail"]
    message = step.value("fail", "message") if "message" in written else compile_value(written["code"])
    return FailBody(code=written["code"], message=message, error_class=ErrorClass(written.get("class", "permanent")))


def _compile_succeed(step: WrittenStep) -> SucceedBody | None:
    if not step.has("succeed"):
        return None
    _refuse_at_the_end(step, "succeed")
    return SucceedBody(step.value("succeed", "outputs") if "outputs" in step.source["succeed"] else None)


def _refuse_at_the_end(step: WrittenStep, keyword: str) -> None:
    if not step.names.may_end:
        step.refuse(keyword, "not_here", f"{keyword} cannot stand in on_error or finally: the run ends already")


FAIL = StepKind(
    name="fail",
    keyword="fail",
    fields={
        "fail": object_of(
            {
                "code": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_.-]*$", "maxLength": 100},
                "message": {"type": "string"},
                "class": {"enum": _CLASSES, "default": "permanent"},
            },
            required=["code"],
        )
    },
    required=("fail",),
    compile=_compile_fail,
)

SUCCEED = StepKind(
    name="succeed",
    keyword="succeed",
    fields={"succeed": object_of({"outputs": {"type": "object"}})},
    required=("succeed",),
    compile=_compile_succeed,
)
