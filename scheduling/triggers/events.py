"""Schedules of kind `event`: from a stored event to the runs that it starts."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from uuid import UUID

from django.db import connection

from scheduling.core.topics import patterns_of
from scheduling.events.models import Event
from scheduling.instants import database_now
from scheduling.runs.states import TriggerKind
from scheduling.schedules.models import Schedule, ScheduleKind, ScheduleState
from scheduling.schedules.selectors import resumed_unnoticed
from scheduling.triggers.admitting import Moment, fire
from scheduling.triggers.judging import with_tasks

WAIT_FOR_LISTENERS = 2000  # milliseconds, for each that somebody holds

# Purpose: wait no longer than so for a lock, or as long as before where that is less; what held before is returned.
_WAIT_NO_LONGER = """
SELECT current_setting('lock_timeout'), set_config('lock_timeout', CASE
    WHEN setting::int BETWEEN 1 AND %(most)s THEN setting ELSE %(most)s::text
END, true)
FROM pg_settings WHERE name = 'lock_timeout'
"""


def start_runs_of(event: Event, *, is_backfilled: bool = False) -> list[UUID]:
    """Start the runs of every schedule whose pattern and filter the event matches; return their ids. `is_backfilled`: a
    run has published it that a backfill has led to.

    Requires the transaction that stores the event: an event that is acknowledged has started its runs. Where somebody
    holds one of them for long, the database's error of a lock time-out is the caller's: nothing is stored.
    """
    matching = set(patterns_of(event.topic))
    found = _listening(matching)
    if not found:
        return []

    def still_listens(schedule: Schedule) -> bool:
        return schedule.kind == ScheduleKind.EVENT and schedule.expression in matching

    with _bounded_wait():
        return fire(
            found, Moment(event=event, trigger_kind=TriggerKind.EVENT, is_backfilled=is_backfilled), still=still_listens
        )


def _listening(patterns: Set[str]) -> list[Schedule]:
    """The schedules that wait for one of these, with their tasks. In two questions: those that stand as paused, and are
    not any more, are not in the index by patterns."""
    active = Schedule.objects.filter(
        kind=ScheduleKind.EVENT, state=ScheduleState.ACTIVE, held_at=None, expression__in=patterns
    )
    resumed = resumed_unnoticed(ScheduleKind.EVENT, database_now())
    return with_tasks([*active, *(schedule for schedule in resumed if schedule.expression in patterns)])


@contextmanager
def _bounded_wait() -> Iterator[None]:
    """In this block, which must be in a transaction, no lock is waited for longer than WAIT_FOR_LISTENERS."""
    with connection.cursor() as cursor:
        cursor.execute(_WAIT_NO_LONGER, {"most": WAIT_FOR_LISTENERS})
        before, _ = cursor.fetchone()
        # After an error the transaction is rolled back, and this limit with it.
        yield
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
