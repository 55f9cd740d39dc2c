"""How the pause of a task ends: by somebody who resumes it, or by itself.

Both require a transaction that holds the task's row; they lock its schedules by id, then keys and due work.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from scheduling.audit.operations import Actor, save_changes
from scheduling.audit.snapshots import snapshot
from scheduling.core.recurrence import ScheduleError
from scheduling.runs.gates import release_gated
from scheduling.runs.statements import RELEASE_PAUSED
from scheduling.schedules.accounts import account_for_pause, last_paused
from scheduling.schedules.models import ScheduleState
from scheduling.tasks.models import Task, TaskState
from scheduling.wakeup import DUE_CHANNEL, SCHEDULES_CHANNEL, after_commit

# What changes by itself and says nothing in the audit trail.
NOT_AUDITED = frozenset({"updated_at", "version"})


def resume(*, actor: Actor, task: Task, now: datetime) -> Task:
    """Let the schedules of a paused task fire and its queued runs be claimed; what came until the end of the pause is
    counted as missed. A snooze that is over at `now` ended at its own instant."""
    before = snapshot(task, leave_out=NOT_AUDITED)
    last = last_paused(task.paused_until, now=now)
    task.state, task.paused_at, task.paused_until, task.pause_reason = TaskState.ACTIVE, None, None, ""
    task.resumed_at = now
    save(actor=actor, action="task.resume", task=task, before=before)
    _release_schedules(task, last)
    with connection.cursor() as cursor:
        cursor.execute(RELEASE_PAUSED, [task.pk])
        released = cursor.fetchall()
        release_gated(cursor, task_ids=[task.pk], keys={key for _, key in released if key is not None})
    for queue in {queue for queue, key in released if key is None}:
        after_commit(DUE_CHANNEL, queue)
    return task


def end_snooze_if_over(task: Task, *, now: datetime) -> None:
    """Do what the clock does with a snooze that is over, for whoever comes to it first."""
    if task.paused_until is not None and task.paused_until <= now:
        resume(actor=Actor.system("clock"), task=task, now=now)


def save(*, actor: Actor, action: str, task: Task, before: dict[str, Any]) -> Task:
    """Write what has changed."""
    save_changes(actor=actor, action=action, target=task, before=before, leave_out=NOT_AUDITED)
    return task


def _release_schedules(task: Task, last: datetime) -> None:
    """Let the schedules fire again, from after `last` on. One that cannot be planned any more is set aside with its
    reason; one whose own snooze was over before is paused until here."""
    for schedule in task.schedules.select_for_update(no_key=True).filter(held_at__isnull=False).order_by("pk"):
        schedule.held_at = None
        schedule.version += 1
        if schedule.state == ScheduleState.ACTIVE:
            try:
                account_for_pause(schedule, now=last)
            except ScheduleError as error:
                schedule.state = ScheduleState.QUARANTINED
                schedule.state_reason = f"{error.code}: {error.detail}"[:500]
        elif schedule.paused_until is not None and schedule.paused_until <= last:
            schedule.paused_until = last + timedelta(microseconds=1)
        schedule.save(force_update=True)
    after_commit(SCHEDULES_CHANNEL)
