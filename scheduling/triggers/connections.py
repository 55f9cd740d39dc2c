"""What ties a schedule to other things: the task that it follows, the pipeline by which it checks."""

from collections.abc import Mapping
from typing import Any

from django.db import connection

from scheduling.audit.operations import Actor
from scheduling.errors import NotValid
from scheduling.runs.statements import WATCH_RUNS
from scheduling.schedules.models import Schedule
from scheduling.tasks.models import Task, TaskState
from scheduling.tasks.revisions import revise_check


def connect(*, actor: Actor, schedule: Schedule, values: Mapping[str, Any]) -> None:
    """Set the columns of `after` and `check` where they are given. Requires a transaction that holds the task's row.

    NotValid at `/after` for a key that is no task of the agent's, or the task itself: a task that followed itself would
    never end. Runs of the followed task that are under way are watched from now on.
    """
    if values.get("after"):
        schedule.after_task = _followed(schedule, values["after"])
        watch(schedule.after_task)
    if values.get("check") is not None:
        revision = revise_check(actor=actor, task=schedule.task, document=values["check"])
        if revision.pk != schedule.check_revision_id:
            schedule.check_revision = revision
            schedule.condition_met, schedule.condition_checked_for = None, None


def watch(task: Task) -> None:
    """Have the ends of the task's live runs told, too. Requires an open transaction.

    A run whose start has not been committed yet is not seen: it began before anybody watched, and its end is not told.
    To close that window every start would have to lock its task, which only those of exclusive tasks do.
    """
    with connection.cursor() as cursor:
        cursor.execute(WATCH_RUNS, [task.pk])


def _followed(schedule: Schedule, key: str) -> Task:
    if key == schedule.task.key:
        raise NotValid.at(
            "/after", "follows_itself", "A task cannot follow itself.", "Use an interval, or a `while` in its pipeline."
        )
    task = Task.objects.filter(agent=schedule.task.agent_id, key=key).exclude(state=TaskState.ARCHIVED).first()
    if task is None:
        raise NotValid.at(
            "/after", "unknown_task", f"The agent has no task with the key {key!r}.", "Create the followed task first."
        )
    return task
