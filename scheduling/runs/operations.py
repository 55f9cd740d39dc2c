"""Start, cancel, snooze and retry runs. Each function is one transaction and one audit entry."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from scheduling.audit.once import begin_once
from scheduling.audit.operations import Actor, record
from scheduling.definitions.json_values import require_storable
from scheduling.errors import IllegalTransition, NotValid
from scheduling.instants import database_now
from scheduling.runs.admission import Start, admit, lock_tasks
from scheduling.runs.gates import release_gated
from scheduling.runs.keys import concurrency_key
from scheduling.runs.lineage import MOST_ANCESTORS, lineage
from scheduling.runs.models import DueWork, Run
from scheduling.runs.redriving import before_retry, redrive
from scheduling.runs.selectors import allowed_actions, effective_state, with_due_work
from scheduling.runs.statements import CANCEL_RUN, REQUEST_CANCEL
from scheduling.runs.states import Gate, RunState, TriggerKind
from scheduling.tasks.models import Task, TaskState
from scheduling.tasks.revisions import require_fitting_params
from scheduling.wakeup import CANCEL_CHANNEL, after_commit

_LONGEST_SNOOZE = timedelta(days=3660)


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
def start_child(*, parent: Run, key: str, params: Mapping[str, Any]) -> Run:
    """Start a task of the same agent for a run that asks for it. Whoever started the parent has started this one, too.
    Its overlap policy, limits and deduplication hold as for any start.

    NotValid where there is no such task, where it is at work already above the parent, or too many are
    (`recursive_run`), and where the params do not fit; IllegalTransition for an archived task.
    """
    task = Task.objects.select_related("current_revision").filter(agent=parent.agent_id, key=key).first()
    if task is None:
        raise NotValid.at("/run", "unknown_task", f"There is no task {key!r} of this agent.")
    if task.state == TaskState.ARCHIVED or task.current_revision is None:
        raise IllegalTransition(f"The task {key} is archived.", allowed_actions=())
    above = list(lineage(parent))
    if any(each.task_id == task.pk for each in above):
        raise NotValid.at(
            "/run", "recursive_run", f"The task {key} is at work already above this run: it would never end."
        )
    if len(above) >= MOST_ANCESTORS:
        raise NotValid.at("/run", "recursive_run", f"Runs start runs at most {MOST_ANCESTORS} deep.")
    _require_params(params)
    require_fitting_params(task.current_revision.document, {**task.params, **params})
    start = Start(
        task_id=task.pk,
        trigger_kind=TriggerKind.RUN,
        params=params,
        simulated=parent.simulated,
        parent_id=parent.pk,
        is_backfilled=parent.is_backfilled,
        triggered_by=parent.triggered_by,
    )
    with connection.cursor() as cursor:
        (admitted,) = admit(cursor, [start])
    assert admitted.run_id is not None, "only an occurrence of a schedule can have its run already"
    run = with_due_work().get(pk=admitted.run_id)
    actor = Actor.system("run")
    record(actor=actor, action="run.start", target=run, after={"task": str(task.pk), "parent": str(parent.pk)})
    return run


@transaction.atomic
def start_child_once(*, run_id: str, idempotency_key: str, key: str, params: Mapping[str, Any]) -> str:
    """The id of the run that was started for a step: now, or when it tried before. As `start_child`."""
    parent = Run.objects.get(pk=run_id)
    done, is_first = begin_once(run_id, idempotency_key)
    if is_first:
        done.body = {"id": str(start_child(parent=parent, key=key, params=params).pk)}
        done.save(update_fields=["body"])
    return str(done.body["id"])


@transaction.atomic
def cancel_run(*, actor: Actor, run: Run, reason: str = "") -> Run:
    """End the run: at once where no worker holds it, else by asking the worker, which stops within a second.

    IllegalTransition, with what is allowed, for a run that has ended. Asking twice changes nothing.
    """
    require_storable(reason=reason)
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
    before = before_retry(run)
    with connection.cursor() as cursor:
        if not redrive(cursor, [run], now=database_now()):
            _require_key(run)
            raise _refused(run, "retried")
    retried = with_due_work().get(pk=run.pk)
    record(actor=actor, action="run.retry", target=retried, before=before, after={"state": RunState.QUEUED.value})
    return retried


@transaction.atomic
def snooze_run(
    *, actor: Actor, run: Run, until: datetime | None = None, span: timedelta | None = None, reason: str = ""
) -> Run:
    """Put off a queued run that no worker holds, to `until` or by `span` from now. It keeps its gates and its place
    among the live runs of its task.

    NotValid where the time does not lie ahead; IllegalTransition for a run that is held, parked or ended.
    """
    require_storable(reason=reason)
    now = database_now()
    if (until is None) == (span is None):
        raise NotValid.at("", "one_of_two", "Say either until or for.", 'For example: "for": "PT1H".')
    wanted = now + span if span is not None else until
    assert wanted is not None
    if not now < wanted <= now + _LONGEST_SNOOZE:
        pointer = "/until" if span is None else "/for"
        raise NotValid.at(pointer, "out_of_range", "The end of a snooze lies ahead, by ten years at most.")
    # First the lock, then the state: a worker that parks it meanwhile writes both rows, and one statement would read
    # the run's as it was before the wait.
    work = DueWork.objects.select_for_update(no_key=True).filter(pk=run.pk).first()
    present = Run.objects.get(pk=run.pk)
    if work is None or work.lease_owner is not None or present.state != RunState.QUEUED:
        raise _refused(run, "snoozed")
    before = {"available_at": _shown(work.available_at)}
    work.available_at = wanted
    key = work.concurrency_key
    if key is not None and work.gate is None:
        work.gate = Gate.KEY  # a sleeper holds no room
    work.save(update_fields=["available_at", "gate"])
    with connection.cursor() as cursor:
        release_gated(cursor, keys=[] if key is None else [key])
    snoozed = with_due_work().select_related("task").get(pk=run.pk)
    after = {"until": _shown(wanted), "reason": reason[:500]}
    record(actor=actor, action="run.snooze", target=snoozed, before=before, after=after)
    return snoozed


def _require_key(run: Run) -> None:
    """Say what is wrong with the params of a run whose key cannot be made of them."""
    task = Task.objects.get(pk=run.task_id)
    if task.concurrency_key and run.trigger_kind != TriggerKind.CHECK:
        concurrency_key(task.agent_id, task.concurrency_key, run.params or {})


def _shown(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _require_params(params: Any) -> None:
    if params is None:
        return
    if not isinstance(params, Mapping):
        raise NotValid.at("/params", "not_an_object", "Params are an object.")
    require_storable(params=params)


def _refused(run: Run, what: str) -> IllegalTransition:
    present = with_due_work().select_related("task").get(pk=run.pk)
    state = effective_state(present)
    return IllegalTransition(f"A run that is {state} cannot be {what}.", allowed_actions=allowed_actions(present))
