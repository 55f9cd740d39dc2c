"""Writing answers: under the lock of the run's due work, and only where the question still stands open."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from scheduling.instants import database_moment
from scheduling.runs.models import DueWork
from scheduling.wakeup import DUE_CHANNEL, after_commit
from workers.models import Question

# Those that may still be answered.
OPEN = Q(closed_at=None, answer=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a question comes to. `subject_id`: the event that answers it, or the run; None leaves what is known.
    `is_left`: something is still to be done of it."""

    question: Question
    content: Mapping[str, Any]
    outcome: str = Question.Outcome.ANSWERED
    subject_id: UUID | None = None
    is_left: bool = False


def give(answers: Iterable[Answer]) -> set[UUID]:
    """Write the answers and wake their runs; return the questions that are settled now, by whomever.

    Requires an open transaction. Whose due work somebody has locked at this moment is left for the next turn. Locks:
    due work by run id, then the questions (`docs/decisions/0011-questions.md`).
    """
    given = list(answers)
    if not given:
        return set()
    runs = {answer.question.run_id for answer in given}
    works = _lock(runs)
    # A run that has ended asks nothing any more.
    gone = runs - works.keys() - set(DueWork.objects.filter(pk__in=runs).values_list("pk", flat=True))
    settled: set[UUID] = set()
    woken: set[UUID] = set()
    for answer in given:
        run_id = answer.question.run_id
        if run_id in gone:
            settled.add(answer.question.pk)
        elif run_id in works:
            settled.add(answer.question.pk)
            if _write(answer):
                woken.add(run_id)
    # It goes on at once; where a process holds it, when it parks.
    DueWork.objects.filter(pk__in=woken).update(available_at=database_moment())
    for queue in {works[run_id].queue for run_id in woken}:
        after_commit(DUE_CHANNEL, queue)
    return settled


def _lock(run_ids: Collection[UUID]) -> dict[UUID, DueWork]:
    free = DueWork.objects.filter(pk__in=run_ids).order_by("pk").select_for_update(skip_locked=True, no_key=True)
    return {work.pk: work for work in free}


def _write(answer: Answer) -> bool:
    """False where it has been answered, or closed, in the meantime."""
    subject = {} if answer.subject_id is None else {"subject_id": answer.subject_id}
    written = Question.objects.filter(OPEN, pk=answer.question.pk).update(
        answer=dict(answer.content),
        answered_at=database_moment(),
        outcome=answer.outcome,
        is_pending=answer.is_left,
        **subject,
    )
    return bool(written)
