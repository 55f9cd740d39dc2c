"""`wait`: go on later, and hold no worker until then."""

from pipelines.document.kinds.base import StepKind, WrittenStep
from pipelines.document.moments import read_instant, read_length
from pipelines.document.nodes import WaitBody
from pipelines.document.shape import object_of
from pipelines.expressions import CompiledValue

_READERS = {"for": read_length, "until": read_instant}


def _compile(step: WrittenStep) -> WaitBody | None:
    if not step.has("wait"):
        return None
    given = [name for name in _READERS if name in step.source["wait"]]
    if len(given) != 1:
        step.refuse("wait", "invalid_value", "a wait has either for or until", hint="wait: {for: PT1H}")
        return None
    (name,) = given
    value = step.value("wait", name)
    _check_literal(step, name, value)
    return WaitBody(value, is_length=name == "for")


def _check_literal(step: WrittenStep, name: str, value: CompiledValue) -> None:
    if not value.templates:
        try:
            _READERS[name](value.source)
        except ValueError as error:
            code = "bad_duration" if name == "for" else "invalid_value"
            step.compilation.refuse(step.place("wait", name), code, str(error))


WAIT = StepKind(
    name="wait",
    keyword="wait",
    fields={
        "wait": object_of(
            {
                "for": {"type": "string", "description": "An ISO 8601 duration, counted from the start of the step."},
                "until": {"type": "string", "description": "An ISO 8601 instant, in UTC where it has no offset."},
            }
        )
    },
    required=("wait",),
    compile=_compile,
    has_own_timeout=True,
)
