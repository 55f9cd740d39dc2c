"""Decide about what a run has asked people. One transaction and one audit entry."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from pipelines.document.forms import compile_form, form_breaches
from pipelines.document.problems import pointer_to
from pipelines.document.shape import problem_of
from pipelines.engine.names import instant_text
from scheduling.audit.operations import Actor, record
from scheduling.definitions.json_values import require_storable
from scheduling.errors import Conflict, Forbidden, NotValid, Problem
from scheduling.instants import database_moment
from scheduling.runs.models import DueWork
from scheduling.wakeup import DUE_CHANNEL, after_commit
from workers.approvals.selectors import OPEN, approvals, objection_to, state_of
from workers.models import Question

MAX_REASON = 1000  # characters


class NotOpen(Conflict):
    """Nobody can decide about this any more."""

    code = "approval_not_open"


class MayNotDecide(Forbidden):
    """Somebody else has to decide about this."""

    code = "may_not_decide"


def approve(*, actor: Actor, approval: Question, form: Mapping[str, Any] | None = None, reason: str = "") -> Question:
    """Let the run go on, with what the form asks for.

    MayNotDecide for whoever started the run, owns its task or lacks the role; NotValid where the form is not filled in
    as its schema says; NotOpen where it was decided, its time is over or its run has ended.
    """
    return _decide(actor=actor, approval=approval, approved=True, form={} if form is None else form, reason=reason)


def reject(*, actor: Actor, approval: Question, reason: str = "") -> Question:
    """Refuse it: the step fails with the class `rejected`, or says so where it tolerates that. As `approve`."""
    return _decide(actor=actor, approval=approval, approved=False, form={}, reason=reason)


@transaction.atomic
def _decide(*, actor: Actor, approval: Question, approved: bool, form: Mapping[str, Any], reason: str) -> Question:
    require_storable(form=form, reason=reason)
    if len(reason) > MAX_REASON:
        raise NotValid.at("/reason", "too_long", f"A reason has at most {MAX_REASON} characters.")
    # The due work first: see docs/decisions/0011-questions.md. A run that ends meanwhile has none.
    work = DueWork.objects.select_for_update(no_key=True).filter(pk=approval.run_id).first()
    held = approvals().select_for_update(of=("self",), no_key=True).get(pk=approval.pk)
    moment = database_moment()
    is_late = held.until is not None and moment >= held.until
    if work is None or state_of(held) != OPEN or is_late:
        raise NotOpen(_why_not(held, is_late=is_late), allowed_actions=())
    objection = objection_to(actor, held, held.run)
    if objection is not None:
        raise MayNotDecide(objection)
    if approved:
        _require_form(held, form)
    at = instant_text(moment)
    held.answer = {"approved": approved, "by": str(actor), "at": at, "form": dict(form), "reason": reason}
    held.answered_at = moment
    held.outcome = Question.Outcome.APPROVED if approved else Question.Outcome.REJECTED
    held.save(update_fields=["answer", "answered_at", "outcome"])
    # It goes on at once; where a process holds it, when it parks.
    DueWork.objects.filter(pk=work.pk).update(available_at=database_moment())
    after_commit(DUE_CHANNEL, work.queue)
    record(
        actor=actor,
        action="run.approve" if approved else "run.reject",
        target=held.run,
        after={"approval": str(held.pk), "step": held.shown_path, "title": held.asks["title"], "reason": reason},
    )
    return approvals().get(pk=held.pk)


def _why_not(approval: Question, *, is_late: bool) -> str:
    match state_of(approval):
        case Question.Outcome.APPROVED | Question.Outcome.REJECTED:
            return f"It was {state_of(approval)} by {approval.answer['by']} at {approval.answer['at']}."
        case Question.Outcome.WITHDRAWN:
            return "Its run does not wait for it any more."
    return "Its time is over." if is_late or state_of(approval) == Question.Outcome.EXPIRED else "Its run has ended."


def _require_form(approval: Question, form: Mapping[str, Any]) -> None:
    schema = approval.asks.get("form")
    compiled = None if schema is None else compile_form(schema)
    problems = [
        Problem(pointer=pointer_to("/form", *breach.path), code=found.code, detail=found.detail, hint=found.hint)
        for breach in form_breaches(compiled, form)
        for found in [problem_of(breach, "/form")]
    ]
    if problems:
        raise NotValid.because(problems)
