"""The runs that runs start: begun once, heard of when they have ended, canceled when nobody waits for them any more."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import OperationalError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.start_errors import start_error
from scheduling.audit.operations import Actor
from scheduling.clock import session
from scheduling.clock.faults import fault_of
from scheduling.clock.tries import Tries
from scheduling.errors import IllegalTransition, SchedulingError
from scheduling.instants import database_moment
from scheduling.runs.models import DueWork, Run
from scheduling.runs.operations import cancel_run, start_child
from scheduling.runs.states import RunState
from workers.answering.answers import OPEN, Answer, give
from workers.models import Question

PAGE = 200
_ACTOR = Actor.system("run")

logger = structlog.get_logger(__name__)


class _Later(Exception):
    """The run that waits is being written to right now: nothing of this has happened."""


def begin(over: Callable[[], bool], tries: Tries) -> bool:
    """Start what is asked for, each in a transaction of its own, until `over` says so; whether there is more. `tries`
    knows whose start has hung: it is tried ever more seldom, and holds up no other."""
    return _each(_pending(tries).filter(OPEN, subject_id=None), _begin, over, tries)


def end(over: Callable[[], bool], tries: Tries) -> bool:
    """Cancel what was started for a run that waits no more, in the same way."""
    return _each(_pending(tries).filter(subject_id__isnull=False), _end, over, tries)


def ended() -> list[Answer]:
    """What has become of the runs that have ended, for those that wait for them."""
    waiting = Question.objects.filter(OPEN, kind=Question.Kind.RUN, is_pending=False, subject_id__isnull=False)
    over = waiting.exclude(Exists(DueWork.objects.filter(pk=OuterRef("subject_id")))).order_by("pk")[:PAGE]
    questions = list(over)
    runs = Run.objects.in_bulk([question.subject_id for question in questions])
    return [Answer(question=question, content=_told(runs.get(question.subject_id))) for question in questions]


def expired(now: datetime) -> list[Answer]:
    """That the time is over, for those whose run has not ended by then. What was started is left to be canceled."""
    waiting = Question.objects.filter(OPEN, kind=Question.Kind.RUN, until__lte=now).order_by("until")
    return [
        Answer(
            question=question,
            content={"expired": True},
            outcome=Question.Outcome.EXPIRED,
            is_left=question.subject_id is not None,
        )
        for question in waiting[:PAGE]
    ]


def are_waited_for() -> bool:
    """Whether any run waits for another."""
    return Question.objects.filter(OPEN, kind=Question.Kind.RUN).exists()


def _pending(tries: Tries) -> QuerySet[Question]:
    alone = [pk for pk in tries.known() if tries.is_left_alone(pk)]
    return Question.objects.filter(kind=Question.Kind.RUN, is_pending=True).exclude(pk__in=alone)


def _each(rows: QuerySet[Question], act: Callable[[UUID], None], over: Callable[[], bool], tries: Tries) -> bool:
    found = list(rows.order_by("pk").values_list("pk", flat=True)[:PAGE])
    is_left = len(found) == PAGE
    for pk in found:
        if over():
            return True
        try:
            with session.hurried(), session.searching(tries.limit(pk)), session.bounded():
                act(pk)
            tries.forget(pk)
        except _Later:
            is_left = True
        except OperationalError as error:
            fault = fault_of(error)
            if not fault.is_contention:
                raise
            wait = tries.hung(pk)
            logger.warning("run.child_put_off", question=str(pk), fault=fault, tried_again_in=wait)
    return is_left


def _begin(pk: UUID) -> None:
    """Start the run and note it with the question: both or neither. Admission's locks come first, as everywhere."""
    question = Question.objects.select_related("run").filter(OPEN, pk=pk, is_pending=True, subject_id=None).first()
    if question is None:
        return
    if not DueWork.objects.filter(pk=question.run_id).exists():
        # Its run has ended (it was canceled while parked): nothing is started for it.
        withdrawn = Question.objects.filter(OPEN, pk=pk, subject_id=None)
        withdrawn.update(closed_at=Now(), outcome=Question.Outcome.WITHDRAWN, is_pending=False)
        return
    if question.until is not None and database_moment() >= question.until:
        _give(Answer(question=question, content={"expired": True}, outcome=Question.Outcome.EXPIRED))
        return
    asks = question.asks
    try:
        with transaction.atomic():
            child = start_child(parent=question.run, key=asks["task"], params=asks["params"])
    except SchedulingError as error:
        _give(Answer(question=question, content={"error": start_error(error, asks["pointer"]).as_dict()}))
        return
    if not asks["waits"]:
        give([Answer(question=question, content={"run": {"id": str(child.pk)}}, subject_id=child.pk)])
        if not Question.objects.filter(pk=pk, subject_id=child.pk).exists():
            raise _Later  # somebody else was first, or the run has ended: what was started here is taken back
        return
    # The due work first, as whoever answers does.
    work = DueWork.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=question.run_id).first()
    still = Question.objects.filter(OPEN, pk=pk, is_pending=True, subject_id=None)
    if work is None or not still.update(subject_id=child.pk, is_pending=False):
        raise _Later
    if child.state == RunState.SKIPPED:
        question.subject_id = child.pk
        _give(Answer(question=question, content=_told(child)))


def _give(answer: Answer) -> None:
    if not give([answer]):
        raise _Later


def _end(pk: UUID) -> None:
    question = Question.objects.filter(pk=pk, is_pending=True, subject_id__isnull=False).first()
    if question is None:
        return
    child = Run.objects.filter(pk__in=[question.subject_id]).first()
    if child is not None:
        try:
            with transaction.atomic():
                cancel_run(actor=_ACTOR, run=child, reason="the run that waited for it does not wait any more")
        except IllegalTransition:
            logger.debug("run.child_has_ended", run=str(child.pk))
    Question.objects.filter(pk=pk).update(is_pending=False)


def _told(run: Run | None) -> dict[str, Any]:
    """How a run has ended, as the step that waits for it reads it."""
    if run is None:
        gone = PipelineError("run_gone", ErrorClass.PERMANENT, "the run that was waited for is not there any more")
        return {"error": gone.as_dict()}
    return {
        "run": {
            "id": str(run.pk),
            "state": run.state,
            "outputs": run.output,
            "error": run.error,
            "skip_reason": run.skip_reason,
        }
    }
