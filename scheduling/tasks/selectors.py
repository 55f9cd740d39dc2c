"""Read tasks with what is shown of them."""

from django.db.models import Prefetch, QuerySet

from scheduling.agents.models import Agent
from scheduling.schedules.models import Schedule
from scheduling.tasks.models import Task


def visible_tasks(agent: Agent | None) -> QuerySet[Task]:
    """The agent's tasks, everybody's for None, with revision and schedules: three queries, however many tasks."""
    schedules = Prefetch("schedules", queryset=Schedule.objects.order_by("pk"))
    tasks = Task.objects.select_related("agent", "current_revision").prefetch_related(schedules)
    return tasks if agent is None else tasks.filter(agent=agent)
