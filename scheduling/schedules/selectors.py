"""Read schedules."""

from datetime import UTC, datetime

from django.db.models import QuerySet

from scheduling.agents.models import Agent
from scheduling.schedules.models import Schedule


def visible_schedules(agent: Agent | None) -> QuerySet[Schedule]:
    """The schedules of the agent's tasks; everybody's for None."""
    schedules = Schedule.objects.select_related("task", "after_task", "check_revision")
    return schedules if agent is None else schedules.filter(task__agent=agent)


def upcoming(schedule: Schedule) -> datetime | None:
    """When it fires next; None while it is paused, held by its task, or over."""
    return schedule.next_fire_at if schedule.is_firing else None


def edit_mark(schedule: Schedule) -> int:
    """A number that every edit changes and no firing: `updated_at` in microseconds."""
    since = schedule.updated_at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
