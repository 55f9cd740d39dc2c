"""Marks that are due, and that the rule does not name: the zone data has changed since they were set.

A clock that starts with new zone data moves the marks that lie ahead (`scheduling.clock.zones`). One that was due by
then, and one that an older clock or an older host of the API has set meanwhile, is met by the pass. The occurrence that
it stood for has another instant by the rules of now: one that is still to come, which the pass goes on to, or one that
has passed unnoticed, which is looked for here. It is accounted for as any that is late.

While two releases of zone data are in use, a clock with the older one leaves such a mark to a clock with the newer one,
which knows the instant: for PATIENCE, since there may be none (the newer release was taken back).
"""

from datetime import datetime, timedelta
from uuid import UUID

from scheduling.clock import session
from scheduling.clock.due import DueSchedule
from scheduling.core.planning import last_occurrence
from scheduling.core.recurrence import compile_rule

PATIENCE = timedelta(minutes=1)
# Between the instants of one local time under two sets of rules: a day, where a zone changed sides of the date line.
_FARTHEST = timedelta(days=1)

# Purpose: up to where the occurrences of a schedule are settled, by what was made of them or by an operation; never
# NULL. Index: primary keys; run_occurrence_unique and run_check_unique, read backwards; the schedule's misses.
# Locks: none.
_SETTLED_UNTIL = """
SELECT GREATEST(
    schedule.created_at, schedule.updated_at, task.resumed_at, schedule.last_fired_at, schedule.condition_checked_for,
    (SELECT max(miss.last_at) FROM scheduling_miss miss WHERE miss.schedule_id = schedule.id),
    (SELECT max(run.scheduled_for) FROM scheduling_run run
     WHERE run.schedule_id = schedule.id AND run.trigger_kind = 'schedule'),
    (SELECT max(run.scheduled_for) FROM scheduling_run run
     WHERE run.schedule_id = schedule.id AND run.trigger_kind = 'check'),
    (SELECT max(calendar.updated_at) FROM scheduling_calendar calendar WHERE calendar.id = ANY(schedule.calendars))
)
FROM scheduling_schedule schedule JOIN scheduling_task task ON task.id = schedule.task_id
WHERE schedule.id = %s
"""


def is_young(schedule: DueSchedule) -> bool:
    """True where a clock with newer zone data may still come to its mark."""
    return schedule.now - schedule.next_fire_at <= PATIENCE


def earlier_mark(schedule: DueSchedule) -> datetime | None:
    """The last occurrence before the mark, a day before it at most, that nobody has accounted for. One read."""
    mark = schedule.next_fire_at
    recurrence = compile_rule(schedule.rule)
    until = _settled_until(schedule.id)
    first = None if until is None else recurrence.next_after(max(until, mark - _FARTHEST))
    return None if first is None or first >= mark else last_occurrence(recurrence, first, mark)


def _settled_until(schedule_id: UUID) -> datetime | None:
    """None where the schedule is gone."""
    with session.single_statement() as cursor:
        cursor.execute(_SETTLED_UNTIL, [schedule_id])
        row = cursor.fetchone()
    return None if row is None else row[0]
