"""Judging the filters of all that one event may fire, within an amount of work.

One filter is bounded by the fuel of the language; how many there are is not. All filters of one agent have so much fuel
for an event, and all filters of an event so much: what is beyond is not evaluated, and its schedule says so. Fuel and
not time, so that what starts does not depend on how busy a machine is.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any
from uuid import UUID

from scheduling.events.models import Event
from scheduling.schedules.models import Schedule
from scheduling.tasks.models import Task
from scheduling.triggers.filters import NOT_EVALUATED, FilterError, judge

# A simple filter takes a few hundred; 100,000 are some ten milliseconds.
FUEL_OF_AGENT = 1_000_000
FUEL_OF_EVENT = 10_000_000

Known = tuple[str, UUID, int]


class Judge:
    """The filters over one event. Equal filters of a task are evaluated once, however many schedules have them."""

    def __init__(self, event: Event) -> None:
        self._event = event_context(event)
        self._left = FUEL_OF_EVENT
        self._left_of: defaultdict[UUID, int] = defaultdict(lambda: FUEL_OF_AGENT)
        self._known: dict[Known, bool | FilterError] = {}

    def is_met(self, schedule: Schedule) -> bool:
        """Whether the filter of a schedule, which has its task, holds. Raises FilterError."""
        key = (schedule.filter, schedule.task_id, schedule.task.version)
        if key not in self._known:
            self._known[key] = self._judge(schedule)
        known = self._known[key]
        if isinstance(known, FilterError):
            raise known
        return known

    def concerned(self, schedules: Iterable[Schedule]) -> list[Schedule]:
        """Those that are to be written to: whose filters hold, or fail, or whose last failure is told no longer."""
        return [schedule for schedule in schedules if self._is_concerned(schedule)]

    def _is_concerned(self, schedule: Schedule) -> bool:
        try:
            return self.is_met(schedule) or schedule.state_reason.startswith(NOT_EVALUATED)
        except FilterError:
            return True

    def _judge(self, schedule: Schedule) -> bool | FilterError:
        agent = schedule.task.agent_id
        fuel = min(self._left, self._left_of[agent])
        if fuel <= 0:
            whose = "this agent" if self._left > 0 else "all agents"
            return FilterError(f"{NOT_EVALUATED}the filters of {whose} take too much work together for one event.")
        context = {"event": self._event, "task": task_context(schedule.task), "now": self._event["at"]}
        verdict, spent = judge(schedule, context, fuel=fuel)
        self._left -= spent
        self._left_of[agent] -= spent
        return verdict


def event_context(event: Event) -> dict[str, Any]:
    """The event as expressions see it."""
    return {
        "id": str(event.pk),
        "topic": event.topic,
        "payload": event.payload,
        "at": event.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }


def task_context(task: Task) -> Mapping[str, Any]:
    return {"id": str(task.pk), "title": task.title, "labels": task.labels}


def with_tasks(schedules: Iterable[Schedule]) -> list[Schedule]:
    """The schedules with their tasks, read in one query."""
    found = list(schedules)
    tasks = Task.objects.in_bulk({schedule.task_id for schedule in found})
    for schedule in found:
        schedule.task = tasks[schedule.task_id]
    return found
