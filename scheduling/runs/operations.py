"""Start, cancel and retry runs. Each function is one transaction and one audit entry."""

from collections.abc import Mapping
from typing import Any

from django.db import connection, transaction

from scheduling.audit.operations import Actor, record
from scheduling.definitions.json_values import problems_of
from scheduling.errors import IllegalTransition, NotValid
from scheduling.instants import database_now
from scheduling.runs.admission import Start, admit, lock_tasks
from scheduling.runs.gates import release_gated
from scheduling.runs.keys import concurrency_key
from scheduling.runs.models import ConcurrencyKey, DueWork, Run
from scheduling.runs.selectors import allowed_actions, effective_state, with_due_work
from scheduling.runs.statements import CANCEL_RUN, REQUEST_CANCEL
from scheduling.runs.states import Gate, RunState, TriggerKind
from scheduling.tasks.models import OverlapPolicy, Task, TaskState
from scheduling.tasks.revisions import require_fitting_params
from scheduling.wakeup import CANCEL_CHANNEL, DUE_CHANNEL, after_commit


@transaction.atomic
def start_run(*, actor: Actor, task: Task, params: Mapping[str, Any] | None = None, simulate: bool = False) -> Run:
    """Run the task now, paused or not; its overlap policy, limits and deduplication hold as for any start.

    The run may be born `skipped`, with its reason. NotValid where the params cannot be stored or do not fit the
    pipeline's schema; IllegalTransition for an archived task.
    """
    held = Task.objects.select_related("current_revision").get(pk=task.pk)
    if held.state == TaskState.ARCHIVED or held.current_revision is None:
        raise IllegalTransition("An archived task cannot run.", allowed_actions=())
    _require_params(params)
    require_fitting_params(held.current_revision.document, {**held.params, **(params or {})})
    start = Start(
        task_id=held.pk,
        trigger_kind=TriggerKind.MANUAL,
        params=params,
        simulated=simulate,
        triggered_by=str(actor),
    )
    with connection.cursor() as cursor:
        (admitted,) = admit(cursor, [start])
    assert admitted.run_id is not None, "only an occurrence of a schedule can have its run already"
    run = with_due_work().get(pk=admitted.run_id)
    record(actor=actor, action="run.start", target=run, after={"task": str(held.pk), "simulated": run.simulated})
    return run


@transaction.atomic
def cancel_run(*, actor: Actor, run: Run, reason: str = "") -> Run:
    """End the run: at once where no worker holds it, else by asking the worker, which stops within a second.

    IllegalTransition, with what is allowed, for a run that has ended. Asking twice changes nothing.
    """
    with connection.cursor() as cursor:
        # The statement looks again at a row that is being claimed, so exactly one of these two finds it.
        lock_tasks(cursor, [run.task_id])
        cursor.execute(CANCEL_RUN, [run.pk])
        ended = cursor.fetchone()
        if ended is not None:
            task_id, key = ended
            release_gated(cursor, task_ids=[task_id], keys=[key] if key is not None else [])
        else:
            cursor.execute(REQUEST_CANCEL, [run.pk])
            if not cursor.rowcount:
                raise _refused(run, "canceled")
            after_commit(CANCEL_CHANNEL, str(run.pk))
    canceled = with_due_work().get(pk=run.pk)
    record(
        actor=actor,
        action="run.cancel",
        target=canceled,
        after={"reason": reason[:500], "state": str(effective_state(canceled))},
    )
    return canceled


@transaction.atomic
def retry_run(*, actor: Actor, run: Run) -> Run:
    """Redrive a failed run: it is queued again with all its attempts, and resumes where it failed.

    Finished steps are not run again. IllegalTransition for a run in any other state, and where the task is archived.
    """
    now = database_now()
    with connection.cursor() as cursor:
        lock_tasks(cursor, [run.task_id])
        if Task.objects.filter(pk=run.task_id, state=TaskState.ARCHIVED).exists():
            raise _refused(run, "retried")
        before = {"state": RunState.FAILED.value, "cause": run.cause, "attempt": run.attempt}
        # Guarded: of two that redrive the same run, one finds it failed. The condition is on the run's own row alone,
        # because only that is looked at again after waiting for the other; a join would be read before the wait.
        failed = Run.objects.filter(pk=run.pk, state=RunState.FAILED)
        if not failed.update(state=RunState.QUEUED, cause="", attempt=1, finished_at=None):
            raise _refused(run, "retried")
        work = _queue_again(run, now)
        if work.gate is None:
            after_commit(DUE_CHANNEL, work.queue)
        else:
            keys = [work.concurrency_key] if work.concurrency_key is not None else []
            release_gated(cursor, task_ids=[work.task_id] if work.is_exclusive else [], keys=keys)
    retried = with_due_work().get(pk=run.pk)
    record(actor=actor, action="run.retry", target=retried, before=before, after={"state": RunState.QUEUED.value})
    return retried


def _queue_again(run: Run, now: Any) -> DueWork:
    """Due work of a redriven run, behind the gates that a new run of its task would stand behind."""
    task = Task.objects.get(pk=run.task_id)
    key = None
    if task.concurrency_key and run.trigger_kind != TriggerKind.CHECK:
        key = concurrency_key(task.agent_id, task.concurrency_key, run.params or {})
        ConcurrencyKey.objects.get_or_create(key=key, defaults={"limit": task.concurrency_limit or 1})
    is_exclusive = task.is_exclusive and not _stands_beside_others(run)
    gate = Gate.OVERLAP if is_exclusive else Gate.KEY if key is not None else None
    return DueWork.objects.create(
        run_id=run.pk,
        task_id=task.pk,
        queue=task.queue,
        priority=task.priority,
        available_at=now,
        started_at=run.started_at,
        gate=gate,
        is_exclusive=is_exclusive,
        is_watched=(
            run.trigger_kind == TriggerKind.CHECK or task.pause_after_failures is not None or task.followers.exists()
        ),
        concurrency_key=key,
    )


def _stands_beside_others(run: Run) -> bool:
    """True for runs that their task's overlap policy does not see: checks, and backfills that allow overlap."""
    if run.trigger_kind == TriggerKind.CHECK:
        return True
    return run.backfill is not None and run.backfill.overlap == OverlapPolicy.ALLOW


def _require_params(params: Any) -> None:
    if params is None:
        return
    if not isinstance(params, Mapping):
        raise NotValid.at("/params", "not_an_object", "Params are an object.")
    unstorable = problems_of(params, pointer="/params")
    if unstorable:
        raise NotValid.because(unstorable)


def _refused(run: Run, what: str) -> IllegalTransition:
    present = with_due_work().select_related("task").get(pk=run.pk)
    state = effective_state(present)
    return IllegalTransition(f"A run that is {state} cannot be {what}.", allowed_actions=allowed_actions(present))
