"""Queueing failed runs again: one that a person chose, or a batch of them, by the same statements."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from scheduling.errors import NotValid
from scheduling.queues.models import Queue
from scheduling.runs import admission_statements
from scheduling.runs.admission import lock_tasks
from scheduling.runs.gates import release_gated
from scheduling.runs.keys import concurrency_key
from scheduling.runs.models import DueWork, Run
from scheduling.runs.states import Gate, RunState, TriggerKind
from scheduling.schedules.models import Schedule
from scheduling.tasks.models import LOWEST_PRIORITY, OverlapPolicy, Task, TaskState
from scheduling.wakeup import DUE_CHANNEL, after_commit

# Purpose: have failed runs queued again, those of them that still are failed. The condition is on their own rows alone:
# only those are looked at again after waiting for somebody else. Index: primary key. Locks: the runs, by their ids.
_TAKE = """
WITH held AS MATERIALIZED (
    SELECT id FROM scheduling_run
    WHERE id = ANY(%(runs)s::uuid[]) AND state = 'failed'
      AND (%(failed_before)s::timestamptz IS NULL OR finished_at < %(failed_before)s::timestamptz)
    ORDER BY id
    FOR NO KEY UPDATE
)
UPDATE scheduling_run run SET state = 'queued', cause = '', attempt = 1, finished_at = NULL
FROM held WHERE run.id = held.id
RETURNING run.id
"""


def redrive(cursor: Any, runs: Sequence[Run], *, now: datetime, failed_before: datetime | None = None) -> set[UUID]:
    """Queue those of the runs that are failed, and did so before that instant, with all their attempts.

    Returns which. Left alone are runs that somebody else redrove, runs of archived tasks, and runs whose concurrency
    key can no longer be made of their params. Requires an open transaction; locks tasks, runs and keys in that order.
    """
    if not runs:
        return set()
    task_ids = sorted({run.task_id for run in runs})
    lock_tasks(cursor, task_ids)
    tasks = Task.objects.in_bulk(task_ids)
    followed = set(Schedule.objects.filter(after_task__in=task_ids).values_list("after_task_id", flat=True))
    fair = set(Queue.objects.filter(is_fair=True).values_list("name", flat=True))
    drafts: dict[UUID, DueWork] = {}
    for run in runs:
        task = tasks[run.task_id]
        if task.state != TaskState.ARCHIVED:
            draft = _draft(run, task, now=now, is_followed=task.pk in followed, is_fair=task.queue in fair)
            if draft is not None:
                drafts[run.pk] = draft
    cursor.execute(_TAKE, {"runs": list(drafts), "failed_before": failed_before})
    taken = {run_id for (run_id,) in cursor.fetchall()}
    works = [work for run_id, work in drafts.items() if run_id in taken]
    _know_keys(cursor, works, tasks)
    DueWork.objects.bulk_create(works)
    release_gated(
        cursor,
        task_ids={work.task_id for work in works if work.is_exclusive},
        keys={work.concurrency_key for work in works if work.concurrency_key is not None},
    )
    for queue in {work.queue for work in works if work.gate is None}:
        after_commit(DUE_CHANNEL, queue)
    return taken


def before_retry(run: Run) -> dict[str, Any]:
    """What a failed run was, for the audit trail."""
    return {"state": RunState.FAILED.value, "cause": run.cause, "attempt": run.attempt}


def _draft(run: Run, task: Task, *, now: datetime, is_followed: bool, is_fair: bool) -> DueWork | None:
    """Due work behind the gates that a new run of the task would stand behind; None where its key cannot be made."""
    is_check = run.trigger_kind == TriggerKind.CHECK
    key = None
    if task.concurrency_key and not is_check:
        try:
            key = concurrency_key(task.agent_id, task.concurrency_key, run.params or {})
        except NotValid:
            return None
    is_exclusive = task.is_exclusive and not _stands_beside_others(run)
    return DueWork(
        run_id=run.pk,
        task_id=task.pk,
        queue=task.queue,
        agent_id=task.agent_id if is_fair else None,
        priority=LOWEST_PRIORITY if run.is_backfilled else task.priority,
        available_at=now,
        started_at=run.started_at,
        redriven_at=now,
        gate=Gate.OVERLAP if is_exclusive else Gate.KEY if key is not None else None,
        is_exclusive=is_exclusive,
        is_watched=is_check or task.pause_after_failures is not None or is_followed,
        concurrency_key=key,
    )


def _know_keys(cursor: Any, works: Sequence[DueWork], tasks: dict[UUID, Task]) -> None:
    limits = {}
    for work in works:
        if work.concurrency_key is not None:
            task = tasks[work.task_id]
            limits[work.concurrency_key] = (task.concurrency_limit or 1, task.rate_limit, task.rate_period)
    if limits:
        columns = [list(column) for column in zip(*limits.values(), strict=True)]
        cursor.execute(admission_statements.KNOW_KEYS, [list(limits), *columns])


def _stands_beside_others(run: Run) -> bool:
    """True for runs that their task's overlap policy does not see: checks, and backfills that allow overlap."""
    if run.trigger_kind == TriggerKind.CHECK:
        return True
    # The backfill may be gone, with its schedule: then the run is one like any other.
    return run.backfill_id is not None and Run.objects.filter(pk=run.pk, backfill__overlap=OverlapPolicy.ALLOW).exists()
