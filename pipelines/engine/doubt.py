"""Calls in doubt: their intent is in the journal and their result is not, because the worker was lost in between. The
tool says what then: call again with the same idempotency key, fail, or ask a person."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.document.limits import MAX_WAIT
from pipelines.engine.paths import shown_path
from pipelines.engine.ports import Question, QuestionKind, StepEntry
from pipelines.engine.questions import Answers
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import InDoubt, SideEffect, ToolSpec

# In what a question asks: it is about a call in doubt and is no step of the document.
ABOUT_DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Ask:
    """Nobody has said yet; somebody has to by `until`."""

    question: Question
    until: datetime


def verdict(spec: ToolSpec | None, intent: StepEntry, answers: Answers) -> Ask | PipelineError | None:
    """What becomes of the call of `intent`: None where it is made again, the error that it fails with, or whom to ask.

    `spec` None: no tool, so nothing was called.
    """
    if spec is None or spec.side_effect is not SideEffect.EFFECT or spec.in_doubt is InDoubt.RETRY:
        return None
    lost = f"the worker was lost while it called {spec.name}; whether the call was made is not known"
    if spec.in_doubt is InDoubt.FAIL:
        return _failure(lost)
    answer = answers.to(intent.path, intent.attempt)
    if answer is not None:
        reason = f": {answer['reason']}" if answer.get("reason") else ""
        return None if answer["approved"] else _failure(f"{lost}, and {answer['by']} had it not called again{reason}")
    if intent.started_at is None:
        raise ValueError(f"attempt {intent.attempt} of {intent.path} has begun and has no start")
    until = intent.started_at + MAX_WAIT
    return _failure(f"{lost}, and nobody has said") if answers.are_final(until) else Ask(_question(spec, intent), until)


def _failure(detail: str) -> PipelineError:
    return PipelineError(code="in_doubt", error_class=ErrorClass.PERMANENT, detail=detail)


def _question(spec: ToolSpec, intent: StepEntry) -> Question:
    path = shown_path(intent.path)
    detail = (
        f"The worker was lost while the step {path} called {spec.name}, and whether the call was made is not known. "
        "Approved, it is made again with the same idempotency key; rejected, the step fails with the code in_doubt."
    )
    title = f"Call {spec.name} again?"
    asks: dict[str, Any] = {"about": ABOUT_DOUBT, "title": title, "detail": detail, "roles": [], "form": None}
    return Question(kind=QuestionKind.APPROVAL, until=None, asks=asks)
