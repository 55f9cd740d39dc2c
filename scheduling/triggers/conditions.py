"""Schedules of kind `condition`: what a check has found, and whether that is a rising edge."""

from collections.abc import Mapping

import structlog
from django.db.models import Q

from scheduling.events.operations import store
from scheduling.events.topics import CONDITION_MET
from scheduling.instants import database_now
from scheduling.runs.models import Run
from scheduling.runs.states import RunState, TriggerKind
from scheduling.schedules.holes import account_for_past
from scheduling.schedules.models import Schedule, ScheduleKind
from scheduling.triggers.admitting import Moment, locked, refuse, start
from scheduling.triggers.filters import FilterError, is_met
from scheduling.triggers.judging import task_context

logger = structlog.get_logger(__name__)


def settle_check(run: Run) -> None:
    """Read what the check found, remember it, and start the task where it has become true.

    Requires an open transaction. A check that failed says nothing, so what was known stays. Checks are taken in the
    order of their ticks: one that comes in late, or of a check pipeline that was replaced, is left out. What was never
    known counts as not met, so that the first true fires; so does an edge whose start was refused.
    """
    if run.state != RunState.SUCCEEDED or run.schedule_id is None or run.scheduled_for is None:
        return
    found = locked([run.schedule_id], [run.task_id])
    schedule = found[0] if found else None
    if schedule is None or schedule.kind != ScheduleKind.CONDITION or schedule.check_revision_id != run.revision_id:
        return
    outputs = run.output if isinstance(run.output, Mapping) else {}
    try:
        has_become = is_met(
            schedule,
            {"outputs": outputs, "task": task_context(schedule.task), "now": run.scheduled_for.isoformat()},
        )
    except FilterError as error:
        refuse(schedule, error)
        return
    was = schedule.condition_met
    newer = Q(condition_checked_for=None) | Q(condition_checked_for__lt=run.scheduled_for)
    is_newest = Schedule.objects.filter(newer, pk=schedule.pk).update(
        condition_met=has_become, condition_checked_for=run.scheduled_for, state_reason=""
    )
    if not is_newest or was or not has_become:
        return
    event = store(
        topic=CONDITION_MET,
        payload={
            "schedule": str(schedule.pk),
            "task": schedule.task.key,
            "outputs": dict(outputs),
            "checked_for": run.scheduled_for.isoformat(),
            "check": str(run.pk),
            "simulated": run.simulated,
        },
        agent_id=run.agent_id,
        depth=1,
        simulated=run.simulated,
        caused_by=run.triggered_by,
    )
    _account_before_last(schedule)
    started = start(
        [schedule],
        Moment(
            event=event,
            trigger_kind=TriggerKind.CONDITION,
            scheduled_for=run.scheduled_for,
            simulated=run.simulated,
        ),
    )
    if started.refused:
        # The edge is not used up: the next check that finds it true tries again, and again says why not. Its event
        # would be told with each of them.
        event.delete()
        Schedule.objects.filter(pk=schedule.pk).update(condition_met=False)


def _account_before_last(schedule: Schedule) -> None:
    """Look for holes behind the mark of a locked schedule that its next run completes: its mark goes with it."""
    if schedule.remaining == 1:
        account_for_past([schedule], now=database_now())
        schedule.save(update_fields=["accounted_until", "missed_count"])
