"""Read schedules."""

from datetime import UTC, datetime

from django.db.models import Q, QuerySet

from scheduling.agents.models import Agent
from scheduling.schedules.models import Schedule, ScheduleKind, ScheduleState
from scheduling.tasks.models import Task, TaskState


def visible_schedules(agent: Agent | None) -> QuerySet[Schedule]:
    """The schedules of the agent's tasks; everybody's for None."""
    schedules = Schedule.objects.select_related("task", "after_task", "check_revision")
    return schedules if agent is None else schedules.filter(task__agent=agent)


def upcoming(schedule: Schedule) -> datetime | None:
    """When it fires next; None while it is paused, held by its task, or over."""
    return schedule.next_fire_at if schedule.is_firing else None


def firing_at(now: datetime) -> Q:
    """The schedules that neither a pause nor their task's keeps from firing. One that is over keeps none, though no
    clock may have come to it yet. (Only what is paused has an end of its pause.)"""
    own = Q(state=ScheduleState.ACTIVE) | Q(paused_until__lte=now)
    return own & (Q(held_at=None) | Q(task__paused_until__lte=now))


def resumed_unnoticed(kind: ScheduleKind, now: datetime) -> QuerySet[Schedule]:
    """Those of them that still stand as paused: few, where clocks run. They are found by the ends of the pauses; tasks
    are asked for first, because joined to them all schedules may be read."""
    firing = Schedule.objects.filter(firing_at(now), kind=kind)
    own = firing.filter(paused_until__lte=now)
    tasks = list(Task.objects.filter(state=TaskState.PAUSED, paused_until__lte=now).values_list("pk", flat=True))
    return own.union(firing.filter(held_at__isnull=False, task__in=tasks)) if tasks else own


def edit_mark(schedule: Schedule) -> int:
    """A number that every edit changes and no firing: `updated_at` in microseconds."""
    since = schedule.updated_at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
