"""Schedules of kind `event`: from a stored event to the runs that it starts."""

from uuid import UUID

from scheduling.core.topics import patterns_of
from scheduling.events.models import Event
from scheduling.runs.states import TriggerKind
from scheduling.schedules.models import Schedule, ScheduleKind, ScheduleState
from scheduling.triggers.admitting import Moment, fire, locked


def start_runs_of(event: Event) -> list[UUID]:
    """Start the runs of every schedule whose pattern and filter the event matches; return their ids.

    Requires the transaction that stores the event: an event that is acknowledged has started its runs.
    """
    listening = Schedule.objects.filter(
        kind=ScheduleKind.EVENT,
        state=ScheduleState.ACTIVE,
        held_at=None,
        expression__in=patterns_of(event.topic),
    ).values_list("pk", "task_id")
    found = list(listening)
    if not found:
        return []
    schedules = locked([schedule_id for schedule_id, _ in found], [task_id for _, task_id in found])
    matching = set(patterns_of(event.topic))
    # Asked again under the lock: an edit may have come in between.
    still = [each for each in schedules if each.kind == ScheduleKind.EVENT and each.expression in matching]
    return fire(still, Moment(event=event, trigger_kind=TriggerKind.EVENT))
