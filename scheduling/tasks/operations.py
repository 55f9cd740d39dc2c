"""Make, change, pause, resume and archive tasks. Each function is one transaction, audited.

Locks, in this order: the agent (creation only), the task, its schedules by id, concurrency keys, due work.

An edit of what decides about starts (`_DECIDE`) comes before or after each start, never in between: it locks the task
FOR UPDATE, for which `admit` waits and which waits for `admit`, and its schedules, whose next versions void the plans
that clocks have made: a plain firing locks no task (`scheduling.runs.plain`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from scheduling.agents.models import Agent
from scheduling.audit.operations import Actor, record
from scheduling.audit.snapshots import snapshot
from scheduling.definitions.json_values import require_storable
from scheduling.definitions.strict import parse
from scheduling.errors import IllegalTransition, KeyTaken, LimitReached, NotValid, Problem, VersionMismatch
from scheduling.instants import database_moment, database_now
from scheduling.runs.admission_statements import KNOW_KEYS
from scheduling.runs.gates import release_gated
from scheduling.runs.live import has_live_runs, is_backfilled
from scheduling.runs.models import ConcurrencyKey, DueWork
from scheduling.runs.statements import (
    CANCEL_RUNS_OF_TASK,
    HOLD_PAUSED,
    HOLD_UNBEGUN,
    JOIN_KEY,
    LEAVE_KEY,
    LEAVE_TO_PAUSE,
    MARK_EXCLUSIVE,
    SKIP_HELD,
)
from scheduling.schedules.models import Schedule
from scheduling.schedules.operations import attach, reopen
from scheduling.tasks.definition import TaskChanges, TaskDefinition, apply
from scheduling.tasks.models import OverlapPolicy, Task, TaskState
from scheduling.tasks.resuming import NOT_AUDITED, end_snooze_if_over, resume, save
from scheduling.tasks.revisions import require_fitting_params, revise
from scheduling.triggers.connections import watch
from scheduling.wakeup import DUE_CHANNEL, SCHEDULES_CHANNEL, after_commit

# The fields of a definition that decide about starts, and the columns in which they do.
_DECIDING_FIELDS = ("overlap", "concurrency", "dedupe")
_DECIDE = ("overlap", "concurrency_key", "dedupe_key")
# How many held runs a policy lets wait, where it bounds them.
_MAY_WAIT = {OverlapPolicy.SKIP: 0, OverlapPolicy.QUEUE_ONE: 1}

# Purpose: void what clocks have planned for a task. Index: the task's schedules. Locks: the schedules, by id.
_VOID_PLANS = """
WITH held AS (
    SELECT id FROM scheduling_schedule WHERE task_id = %s ORDER BY id FOR NO KEY UPDATE
)
UPDATE scheduling_schedule schedule SET version = version + 1 FROM held WHERE schedule.id = held.id
"""


@transaction.atomic
def create_task(*, actor: Actor, agent: Agent, definition: Mapping[str, Any]) -> Task:
    """Store a task with its first revision and its schedules.

    NotValid with every problem at once, pointers into the definition; KeyTaken; LimitReached.
    """
    now = database_now()
    values = parse(TaskDefinition, definition, now=now, agent_id=str(agent.pk))
    if values["schedules"]:
        require_fitting_params(values["pipeline"], values["params"])
    _require_room(agent, values["key"])
    task = Task(agent=agent)
    apply(task, values)
    task.save(force_insert=True)
    revise(actor=actor, task=task, document=values["pipeline"])
    task.save(update_fields=["current_revision"])
    record(actor=actor, action="task.create", target=task, after=snapshot(task, leave_out=NOT_AUDITED))
    problems: list[Problem] = []
    for position, schedule in enumerate(values["schedules"]):
        try:
            attach(actor=actor, task=task, values=schedule, now=now)
        except NotValid as error:
            problems += error.under(f"/schedules/{position}").problems
    if problems:
        raise NotValid.because(problems)
    task.refresh_from_db(fields=["created_at", "updated_at"])
    return task


@transaction.atomic
def update_task(
    *,
    actor: Actor,
    task: Task,
    changes: Mapping[str, Any],
    expected_version: int | None = None,
    replaces: bool = False,
) -> Task:
    """Change some fields; with `replaces`, what is not given returns to its default.

    A changed pipeline is a new revision, which the next run uses; runs that exist keep theirs, and their queue and
    priority. VersionMismatch where `expected_version` is not the task's.
    """
    values = parse(TaskChanges, changes, partial=not replaces, agent_id=str(task.agent_id))
    held = _lock(task, against_starts=not values.keys().isdisjoint(_DECIDING_FIELDS))
    if expected_version is not None and held.version != expected_version:
        raise VersionMismatch(
            hint=f"The task is at version {held.version}. Read it again and apply the change to that."
        )
    _require_not_archived(held, "be changed")
    before = snapshot(held, leave_out=NOT_AUDITED)
    former_overlap, former_limits, former_key = held.overlap, _limits_of(held), held.concurrency_key
    deciding = [getattr(held, name) for name in _DECIDE]
    apply(held, values)
    if held.key != task.key and _key_is_taken(held.agent_id, held.key):
        raise _key_taken(held.key)
    if "pipeline" in values:
        revise(actor=actor, task=held, document=values["pipeline"])
    if ("pipeline" in values or "params" in values) and held.schedules.exists():
        require_fitting_params(_document_of(held), held.params)
    save(actor=actor, action="task.update", task=held, before=before)
    if deciding != [getattr(held, name) for name in _DECIDE]:
        _void_plans(held)
    if held.overlap != former_overlap:
        _judge_overlap_anew(held)
    if held.concurrency_key != former_key:
        _judge_own_limit_anew(held, former_key=former_key)
    if held.concurrency_limit is not None and _limits_of(held) != former_limits:
        _judge_limits_anew(held)
    if held.pause_after_failures is not None:
        watch(held)
    return held


@transaction.atomic
def pause_task(*, actor: Actor, task: Task, reason: str = "", until: datetime | None = None) -> Task:
    """Fire nothing and start nothing of what is queued, until resumed or `until`. What a worker holds is finished.

    Pausing a paused task changes reason and end. A run started by hand starts all the same.
    """
    require_storable(reason=reason)
    if until is not None and until <= database_now():
        raise NotValid.at("/until", "in_the_past", "The end of a pause must lie ahead.")
    held = _lock(task)
    # Not the transaction's beginning: what was started while it waited for the lock was started before the pause.
    now = database_moment()
    _require_not_archived(held, "be paused")
    end_snooze_if_over(held, now=now)
    before = snapshot(held, leave_out=NOT_AUDITED)
    if held.state == TaskState.ACTIVE:
        held.state, held.paused_at = TaskState.PAUSED, now
        _hold_schedules(held, now)
        with connection.cursor() as cursor:
            cursor.execute(HOLD_PAUSED, [held.pk])
    held.pause_reason, held.paused_until = reason[:500], until
    return save(actor=actor, action="task.pause", task=held, before=before)


@transaction.atomic
def resume_task(*, actor: Actor, task: Task) -> Task:
    """Go on from now: what the schedules passed over is counted as missed, what was queued may be claimed.

    A snooze that is over ended at its own instant: what the schedules came to from then on is due. Resuming an active
    task changes nothing; an archived one is refused.
    """
    held = _lock(task)
    now = database_moment()
    _require_not_archived(held, "be resumed")
    if held.state == TaskState.ACTIVE:
        return held
    return resume(actor=actor, task=held, now=now)


@transaction.atomic
def end_snooze(*, task: Task) -> None:
    """Resume a task whose snooze is over; one that somebody has paused anew meanwhile is left alone."""
    end_snooze_if_over(_lock(task), now=database_moment())


@transaction.atomic
def archive_task(*, actor: Actor, task: Task) -> Task:
    """Put the task away for good: nothing fires or starts any more, queued runs are canceled, history stays.

    A run that a worker holds is finished. Archiving an archived task changes nothing.
    """
    now = database_now()
    held = _lock(task)
    if held.state == TaskState.ARCHIVED:
        return held
    before = snapshot(held, leave_out=NOT_AUDITED)
    held.state, held.archived_at = TaskState.ARCHIVED, now
    held.paused_at, held.paused_until, held.pause_reason = None, None, ""
    following = Schedule.objects.filter(after_task=held.pk)
    # All at once, by id, as whoever fires several of them locks them.
    list(Schedule.objects.filter(Q(task=held) | Q(after_task=held)).select_for_update(no_key=True).order_by("pk"))
    _hold_schedules(held, now)
    told = f"It follows the task {held.key}, which was archived: nothing but the ends of its last runs can start it."
    following.exclude(task=held).update(state_reason=told[:500], version=F("version") + 1)
    with connection.cursor() as cursor:
        cursor.execute(CANCEL_RUNS_OF_TASK, [held.pk])
        keys = {key for _, key in cursor.fetchall() if key is not None}
        release_gated(cursor, keys=keys)
    return save(actor=actor, action="task.archive", task=held, before=before)


def allowed_actions(task: Task) -> tuple[str, ...]:
    """What may be done with it in its present state."""
    return {
        TaskState.ACTIVE: ("run", "update", "pause", "archive"),
        TaskState.PAUSED: ("run", "update", "pause", "resume", "archive"),
        TaskState.ARCHIVED: (),
    }[TaskState(task.state)]


def _lock(task: Task, *, against_starts: bool = False) -> Task:
    """`against_starts`: also against those that take no lock of their own, because the task allows overlap."""
    return (
        Task.objects.select_for_update(no_key=not against_starts, of=("self",))
        .select_related("agent", "current_revision")
        .get(pk=task.pk)
    )


def _require_room(agent: Agent, key: str) -> None:
    """One creator at a time for an agent, so that the limit is exact and a key is not taken in between."""
    owner = Agent.objects.select_for_update(no_key=True).get(pk=agent.pk)
    if Task.objects.filter(agent=owner).not_archived().count() >= owner.max_tasks:
        raise LimitReached(
            f"{owner.name} has its {owner.max_tasks} tasks already.", hint="Archive one, or have the limit raised."
        )
    if _key_is_taken(owner.pk, key):
        raise _key_taken(key)


def _key_is_taken(agent_id: Any, key: str) -> bool:
    return Task.objects.filter(agent_id=agent_id, key=key).exists()


def _key_taken(key: str) -> KeyTaken:
    return KeyTaken(
        f"There is a task with the key {key!r} already.",
        pointer="/key",
        hint="Change that task, or choose another key; an archived task keeps its key.",
    )


def _require_not_archived(task: Task, verb: str) -> None:
    if task.state == TaskState.ARCHIVED:
        raise IllegalTransition(f"An archived task cannot {verb}.", allowed_actions=allowed_actions(task))


def _document_of(task: Task) -> Mapping[str, Any]:
    assert task.current_revision is not None, "a task is stored together with its first revision"
    document: Mapping[str, Any] = task.current_revision.document
    return document


def _void_plans(task: Task) -> None:
    """Wait for the firings that are under way, and leave what is due to passes that come after this transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_VOID_PLANS, [task.pk])
    after_commit(SCHEDULES_CHANNEL)


def _judge_overlap_anew(task: Task) -> None:
    """A changed policy holds for the runs that wait, too. Those that it frees are let go while they still are marked
    as exclusive: gates are looked for among the marked rows.

    In a pause that lets go what was started since by hand. What was queued before is judged now all the same. All of it
    stands behind the gate that the resumption opens where overlap is allowed. Any other policy keeps it behind the
    overlap gate, where it is not in the way of what is started by hand later in the pause. Where the policy bounds what
    waits, the first is not among those, unless another run is live already: it starts with the end of the pause."""
    with connection.cursor() as cursor:
        release_gated(cursor, task_ids=[task.pk])
        cursor.execute(MARK_EXCLUSIVE, [task.is_exclusive, task.pk, task.is_exclusive])
        if task.is_exclusive:
            cursor.execute(HOLD_UNBEGUN, [task.pk])
            release_gated(cursor, task_ids=[task.pk])
        if task.state == TaskState.PAUSED and not task.is_exclusive:
            cursor.execute(LEAVE_TO_PAUSE, [task.pk])
        if task.overlap in _MAY_WAIT:
            # As admission decides: the first waits for a backfilled run under any policy.
            may_wait = _MAY_WAIT[OverlapPolicy(task.overlap)] or int(is_backfilled(cursor, task.pk))
            if task.state == TaskState.PAUSED and not has_live_runs(cursor, task.pk):
                may_wait += 1
            cursor.execute(SKIP_HELD, [task.pk, may_wait])
            reopen([schedule_id for (schedule_id,) in cursor.fetchall()])


def _judge_own_limit_anew(task: Task, *, former_key: str) -> None:
    """A limit of this task alone holds for the runs that it has already, and frees them when it goes. (Runs keep a key
    that was made of their params.)"""
    own = task.own_concurrency_key
    key = f"{task.agent_id}:{own}"
    with connection.cursor() as cursor:
        if former_key == own:
            cursor.execute(LEAVE_KEY, [task.pk, key])
            for (queue,) in set(cursor.fetchall()):
                after_commit(DUE_CHANNEL, queue)
        if task.concurrency_key == own:
            cursor.execute(KNOW_KEYS, [[key], [task.concurrency_limit], [task.rate_limit], [task.rate_period]])
            cursor.execute(JOIN_KEY, [key, task.pk])
            release_gated(cursor, keys=[key])


def _limits_of(task: Task) -> dict[str, Any]:
    """What the rows of its concurrency keys say."""
    return {"limit": task.concurrency_limit, "rate_limit": task.rate_limit, "rate_period": task.rate_period}


def _judge_limits_anew(task: Task) -> None:
    """A changed limit or rate holds for the keys that the task's runs wait under, at once."""
    waiting = DueWork.objects.filter(task=task, concurrency_key__isnull=False)
    keys = sorted({key for key in waiting.values_list("concurrency_key", flat=True) if key is not None})
    ConcurrencyKey.objects.filter(key__in=keys).update(**_limits_of(task))
    with connection.cursor() as cursor:
        release_gated(cursor, keys=keys)


def _hold_schedules(task: Task, now: datetime) -> None:
    for schedule in task.schedules.select_for_update(no_key=True).filter(held_at=None).order_by("pk"):
        schedule.held_at = now
        schedule.version += 1
        schedule.save(update_fields=["held_at", "version"])
