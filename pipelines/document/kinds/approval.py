"""`approval`: ask people, and go on by what they say."""

from typing import Any

from pipelines.document.forms import compile_form
from pipelines.document.kinds.base import StepKind, WrittenStep
from pipelines.document.limits import MAX_QUESTION
from pipelines.document.nodes import ApprovalBody, OnTimeout
from pipelines.document.problems import Problem, Severity
from pipelines.document.schemas import Schema, SchemaRefused
from pipelines.document.shape import object_of
from pipelines.expressions import CompiledValue, compile_value
from pipelines.expressions.suggestion import did_you_mean


def _compile(step: WrittenStep) -> ApprovalBody | None:
    if not step.has("approval"):
        return None
    written = step.source["approval"]
    on_timeout = OnTimeout(written.get("on_timeout", OnTimeout.FAIL))
    form = _form(step)
    if on_timeout is OnTimeout.APPROVE and form is not None and not form.fits({}):
        step.compilation.refuse(
            step.place("approval", "on_timeout"),
            "invalid_value",
            "nobody fills in the form where the time-out approves, and the form has required fields",
            hint="on_timeout: fail, or a form without required fields",
        )
    _warn_of_unknown_roles(step)
    return ApprovalBody(
        title=_text(step, "title"),
        detail=_text(step, "detail"),
        form=form,
        roles=tuple(dict.fromkeys(written.get("roles", ()))),
        timeout=step.compilation.longest_wait(step.source["approval"], step.place("approval")),
        on_timeout=on_timeout,
        tolerates_rejection=written.get("on_reject") == "continue",
    )


def _warn_of_unknown_roles(step: WrittenStep) -> None:
    """A role may be made later, so it is no error; until then nobody who holds only such roles can decide."""
    known = step.compilation.roles
    for place, role in enumerate(step.source["approval"].get("roles", ())):
        if known is not None and role not in known:
            step.compilation.problems.append(
                Problem(
                    pointer=step.place("approval", "roles", place),
                    code="unknown_role",
                    detail=f"there is no role or group {role!r}, so nobody can decide by it",
                    hint=did_you_mean(role, known),
                    severity=Severity.WARNING,
                )
            )


def _text(step: WrittenStep, name: str) -> CompiledValue:
    if name not in step.source["approval"]:
        return compile_value(None)
    value = step.value("approval", name)
    if not value.templates:
        text, most = value.source, MAX_QUESTION[name]
        if len(text) > most or (name == "title" and not text.strip()):
            detail = f"{name} has from 1 to {most} characters" if name == "title" else f"{name} has at most {most}"
            step.compilation.refuse(step.place("approval", name), "invalid_value", detail)
    return value


def _form(step: WrittenStep) -> Schema | None:
    source: Any = step.source["approval"].get("form")
    if source is None:
        return None
    try:
        return compile_form(source)
    except SchemaRefused as error:
        hint = "form: {type: object, properties: {note: {type: string}}}"
        step.compilation.refuse(step.place("approval", "form"), "bad_schema", str(error), hint=hint)
        return None


APPROVAL = StepKind(
    name="approval",
    keyword="approval",
    fields={
        "approval": object_of(
            {
                "title": {"type": "string", "description": "What is to be decided. Strings may hold ${expressions}."},
                "detail": {"type": "string", "description": "What whoever decides should know."},
                "form": {
                    "type": "object",
                    "description": "JSON Schema 2020-12 of an object that whoever approves fills in, taken literally.",
                },
                "roles": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": 100},
                    "minItems": 1,
                    "maxItems": 20,
                    "description": "Who may decide: roles of operators, and agents.",
                },
                "timeout": {"type": "string", "description": "An ISO 8601 duration such as PT2H or P1D."},
                "on_timeout": {"enum": [each.value for each in OnTimeout], "default": OnTimeout.FAIL.value},
                "on_reject": {"enum": ["fail", "continue"], "default": "fail"},
            },
            required=["title"],
        )
    },
    required=("approval",),
    compile=_compile,
    has_own_timeout=True,
)
