"""Approvals: people are asked, and the run goes on, or not, by what they say."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.document.forms import form_breaches
from pipelines.document.limits import MAX_QUESTION, MAX_WAIT
from pipelines.document.moments import read_instant
from pipelines.document.nodes import ApprovalBody, Fixture, OnTimeout
from pipelines.engine.attempts import Attempt
from pipelines.engine.examples import smallest_instance
from pipelines.engine.names import instant_text
from pipelines.engine.ports import Question, QuestionKind
from pipelines.engine.simulated import fixture_result
from pipelines.engine.values import render
from pipelines.engine.ways_out import Wait
from pipelines.errors import ErrorClass, PipelineError
from pipelines.expressions.durations import format_duration
from pipelines.expressions.values import to_text

Answer = Mapping[str, Any]  # `approved`, `by`, `at`, `form`, and where it is a rejection `reason`

_SIMULATION = "simulation"


async def run_approval(body: ApprovalBody, attempt: Attempt) -> Any:
    """Who decided what and when. Raises Wait until somebody has, PipelineError for a rejection (`rejected`), for a
    time-out, and where the question cannot be put."""
    if attempt.begun is None:
        attempt.input = _question(body, attempt)
    until = read_instant(attempt.input["until"])
    if attempt.surroundings.context.simulated:
        answer = await _simulated_answer(body, attempt)
    else:
        answer = _answer(body, attempt, until)
    return _outcome(body, answer, until)


def _question(body: ApprovalBody, attempt: Attempt) -> dict[str, Any]:
    until = attempt.ends_after(body.timeout, f"{attempt.step.pointer}/approval/timeout")
    return {
        "title": _text(body, attempt, "title"),
        "detail": _text(body, attempt, "detail"),
        "roles": list(body.roles),
        "until": instant_text(until),
    }


def _text(body: ApprovalBody, attempt: Attempt, name: str) -> str:
    pointer = f"{attempt.step.pointer}/approval/{name}"
    value = render(getattr(body, name), attempt.names, pointer)
    text, most = to_text("" if value is None else value), MAX_QUESTION[name]
    if name == "title" and not text.strip():
        raise _bad("the title of an approval says what is to be decided, and this is empty", pointer)
    if len(text) > most:
        raise _bad(f"the {name} of an approval has at most {most} characters, and this has {len(text)}", pointer)
    return text


def _bad(detail: str, pointer: str) -> PipelineError:
    return PipelineError(code="bad_argument", error_class=ErrorClass.VALIDATION, detail=detail, pointer=pointer)


def _answer(body: ApprovalBody, attempt: Attempt, until: datetime) -> Answer | None:
    """What was decided, None where the time for it is over. Raises Wait."""
    answers = attempt.surroundings.answers
    answer = answers.to(attempt.path, attempt.number)
    if answer is None and not answers.are_final(until):
        shown = {name: attempt.input[name] for name in ("title", "detail", "roles")}
        asks = {**shown, "form": None if body.form is None else body.form.source}
        raise Wait(
            until,
            Question(kind=QuestionKind.APPROVAL, until=None if body.timeout is None else until, asks=asks),
        )
    return answer


async def _simulated_answer(body: ApprovalBody, attempt: Attempt) -> Answer | None:
    """What the fixture says; approved at once where there is none."""
    attempt.is_simulated = True
    clock = attempt.surroundings.clock
    decided: dict[str, Any] = {"approved": True}
    if (fixture := attempt.fixture) is not None:
        if body.timeout is not None and fixture.delay > body.timeout:
            if attempt.fixture_clock is not None:
                await clock.sleep(body.timeout)
            return None
        decided |= await _decided(fixture, attempt)
    approved = bool(decided["approved"])
    given = {
        "approved": approved,
        "by": decided.get("by", _SIMULATION),
        "at": decided.get("at", instant_text(clock.now())),
        "form": decided.get("form", _smallest_form(body) if approved else {}),
        "reason": decided.get("reason", ""),
    }
    if approved:
        _require_form(body, given["form"], attempt, is_written="form" in decided)
    return given


async def _decided(fixture: Fixture, attempt: Attempt) -> Mapping[str, Any]:
    pointer, clock = f"{attempt.step.pointer}/simulate", attempt.fixture_clock
    output = await fixture_result(fixture, attempt.names, pointer, timeout=None, clock=clock)
    if isinstance(output, Mapping) and isinstance(output.get("approved", True), bool):
        return output
    raise PipelineError(
        code="output_schema",
        error_class=ErrorClass.VALIDATION,
        detail="the fixture of an approval is {approved: true or false, form: {...}}",
        pointer=pointer,
    )


def _smallest_form(body: ApprovalBody) -> Any:
    return {} if body.form is None else smallest_instance(body.form.source) or {}


def _require_form(body: ApprovalBody, form: Any, attempt: Attempt, *, is_written: bool) -> None:
    breach = next(form_breaches(body.form, form), None)
    if breach is not None:
        raise PipelineError(
            code="output_schema",
            error_class=ErrorClass.VALIDATION,
            detail=f"the fixture does not fit the form: {breach.detail}"
            if is_written
            else f"no form was found that fits ({breach.detail}); write one: simulate: {{output: {{form: ...}}}}",
            pointer=f"{attempt.step.pointer}/simulate",
        )


def _outcome(body: ApprovalBody, answer: Answer | None, until: datetime) -> Any:
    if answer is None:
        if body.on_timeout is OnTimeout.FAIL:
            took = format_duration(MAX_WAIT if body.timeout is None else body.timeout)
            raise PipelineError("timeout", ErrorClass.TIMEOUT, f"nobody has decided within {took}")
        is_approved = body.on_timeout is OnTimeout.APPROVE
        answer = {"approved": is_approved, "by": None, "at": instant_text(until), "form": {}}
    if not answer["approved"] and not body.tolerates_rejection:
        by = answer["by"] or "the time-out"
        why = f": {answer['reason']}" if answer.get("reason") else ""
        raise PipelineError("rejected", ErrorClass.REJECTED, f"rejected by {by}{why}")
    return {name: answer[name] for name in ("approved", "by", "at", "form")}
