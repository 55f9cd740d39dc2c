"""The housekeeping jobs of the scheduling app."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import connection, transaction

from scheduling.bulk.operations import carry_on
from scheduling.calendars.models import Calendar
from scheduling.calendars.operations import expand_on
from scheduling.clock import session
from scheduling.clock.accounting import audit
from scheduling.clock.faults import fault_of
from scheduling.clock.hearing import let_hear_again
from scheduling.clock.zones import apply_zone_data
from scheduling.errors import NotValid
from scheduling.events.relay import relay_outbox
from scheduling.housekeeping import HousekeepingJob, alone, register
from scheduling.instants import database_now
from scheduling.schedules.models import Schedule
from scheduling.schedules.operations import end_snooze
from scheduling.tasks.models import Task
from scheduling.tasks.operations import end_snooze as end_task_snooze

logger = structlog.get_logger(__name__)

BATCH = 200
# How far ahead the recurring events of calendars are expanded at least; writing a calendar expands twice as far.
EXPANDED_AHEAD = timedelta(days=366)


# Purpose: what has a snooze that is over. What somebody has locked is passed over and does not count among the batch:
# it would keep the others from their turn for as long as it is locked.
# Index: task_snoozed_until_idx, schedule_snoozed_until_idx. Locks: the tasks and schedules it returns.
_SNOOZED_TASKS = """
SELECT task.id FROM scheduling_task task
WHERE task.state = 'paused' AND task.paused_until <= %s
ORDER BY task.paused_until LIMIT %s
FOR NO KEY UPDATE OF task SKIP LOCKED
"""
_SNOOZED_SCHEDULES = """
SELECT schedule.id FROM scheduling_schedule schedule JOIN scheduling_task task ON task.id = schedule.task_id
WHERE schedule.paused_until <= %s AND task.state <> 'archived'
ORDER BY schedule.paused_until LIMIT %s
FOR NO KEY UPDATE OF task, schedule SKIP LOCKED
"""


def end_snoozes() -> int:
    """Resume the tasks and the schedules whose snooze is over."""
    with session.hurried(), alone("end_snoozes") as is_alone:
        if not is_alone:
            return 0
        now = database_now()
        ended = _one_by_one(_ids_of(_SNOOZED_TASKS, now), lambda pk: end_task_snooze(task=Task.objects.get(pk=pk)))
        # Tasks come first: a schedule that was held with its task is accounted for once, by whichever ends last.
        schedules = Schedule.objects.select_related("task")
        snoozed = _ids_of(_SNOOZED_SCHEDULES, now)
        return ended + _one_by_one(snoozed, lambda pk: end_snooze(schedule=schedules.get(pk=pk)))


def _ids_of(statement: str, now: datetime) -> list[UUID]:
    """Ids alone, since one row that cannot be read would keep the others from being read."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [now, BATCH])
        return [pk for (pk,) in cursor.fetchall()]


def _one_by_one(ids: Sequence[UUID], act: Callable[[UUID], object]) -> int:
    """Act on each in a savepoint of its own, so that one that somebody has locked, or that fails, holds up no other.
    Returns how many went well; the others come again the next time. Requires a transaction."""
    done = 0
    for pk in ids:
        try:
            with transaction.atomic():
                act(pk)
            done += 1
        except Exception as error:
            fault = fault_of(error)
            if fault.is_everywhere:
                raise
            logger.exception("housekeeping.put_off", row=str(pk), fault=fault)
    return done


def expand_calendars() -> int:
    """Expand the recurring events of calendars further ahead, long before what is expanded ends."""
    with alone("expand_calendars") as is_alone:
        if not is_alone:
            return 0
        short = Calendar.objects.filter(expanded_until__lt=database_now() + EXPANDED_AHEAD).order_by("expanded_until")
        expanded = 0
        for calendar in short[:BATCH]:
            try:
                expanded += expand_on(calendar=calendar)
            except NotValid as error:
                logger.warning("calendar.cannot_be_expanded", calendar=str(calendar.pk), reason=error.detail)
        return expanded


def register_jobs() -> None:
    """Called where somebody asks for the jobs."""
    register(HousekeepingJob("scheduling.relay_outbox", relay_outbox, timedelta(seconds=1)))
    register(HousekeepingJob("scheduling.bulk_operations", carry_on, timedelta(seconds=1)))
    register(HousekeepingJob("scheduling.end_snoozes", end_snoozes, timedelta(seconds=1)))
    register(HousekeepingJob("scheduling.hearing", let_hear_again, timedelta(seconds=5)))
    register(HousekeepingJob("scheduling.audit_occurrences", audit, timedelta(seconds=15)))
    register(HousekeepingJob("scheduling.apply_zone_data", apply_zone_data, timedelta(seconds=10)))
    register(HousekeepingJob("scheduling.expand_calendars", expand_calendars, timedelta(hours=1)))
