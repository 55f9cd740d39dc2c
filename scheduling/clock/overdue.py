"""What is overdue: marks that are past, and that nobody fires.

An occurrence that is due and that nobody fires has neither a run nor a reason, and its mark stands still. One that is
past by more than `overdue_after` is told once: a warning, the metric `ordinaut_clock_overdue_told`, an event
`schedule.overdue`. The event's id follows from schedule and mark, so that of several clocks, and of their rounds, one
tells it; the schedule's row could not remember it, since whoever holds up the schedule may have locked it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import IntegrityError, connection

from scheduling import conf
from scheduling.clock import metrics, session
from scheduling.clock.hearing import let_hear
from scheduling.events.models import Event
from scheduling.events.operations import store
from scheduling.events.topics import OVERDUE

logger = structlog.get_logger(__name__)

COUNTED_AT_MOST = 10_000
TOLD_AT_ONCE = 100  # overdue schedules told in one round; the rest comes with the next
_BUDGETS = 6  # how many budgets of a pass an occurrence may be late before it is told by name
_A_MINUTE = timedelta(minutes=1)


# Purpose: how many marks are overdue, up to a limit, and the oldest; how many schedules are quarantined.
# Index: schedule_due_idx, schedule_quarantined_idx. Locks: none.
_OVERDUE = """
SELECT count(*), EXTRACT(EPOCH FROM clock_timestamp() - min(next_fire_at)),
    (SELECT count(*) FROM (
        SELECT FROM scheduling_schedule WHERE state = 'quarantined' ORDER BY id LIMIT %s
    ) AS set_aside)
FROM (
    SELECT next_fire_at FROM scheduling_schedule
    WHERE state = 'active' AND held_at IS NULL AND next_fire_at < statement_timestamp() - %s
      AND next_fire_at >= '0001-01-02'
    ORDER BY next_fire_at, id LIMIT %s
) AS overdue
"""

# Purpose: those whose mark is past for so long that it is told, and was not told yet. Index: schedule_due_idx, for as
# many as are counted; the event's primary key. Locks: none. The event's id is a UUIDv7 of the mark, as if it had been
# made then, with what is random in others made of the schedule's id and the mark.
_UNTOLD = """
SELECT overdue.id, overdue.task_id, overdue.next_fire_at, overdue.event_id,
       EXTRACT(EPOCH FROM clock_timestamp() - overdue.next_fire_at)
FROM (
    SELECT id, task_id, next_fire_at, (
        lpad(to_hex(floor(EXTRACT(EPOCH FROM next_fire_at) * 1000)::bigint), 12, '0')
        || '7' || left(digest, 3) || '8' || right(digest, 15)
    )::uuid AS event_id
    FROM scheduling_schedule
    CROSS JOIN LATERAL md5('schedule.overdue ' || id::text || ' ' || EXTRACT(EPOCH FROM next_fire_at)::text) AS digest
    WHERE state = 'active' AND held_at IS NULL AND next_fire_at < statement_timestamp() - %s
      AND next_fire_at >= '0001-01-02'
    ORDER BY next_fire_at, id LIMIT %s
) AS overdue
WHERE (SELECT event.id FROM scheduling_event event WHERE event.id = overdue.event_id) IS NULL
ORDER BY overdue.next_fire_at, overdue.id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Overdue:
    """Marks that are past by more than the budget of a pass, and that nobody fires."""

    count: int
    oldest_seconds: float
    quarantined: int  # schedules that are set aside, which have no mark to be overdue


def tell_overdue() -> Overdue:
    """Measure what is overdue, and warn of it."""
    overdue = read_overdue()
    metrics.OVERDUE.set(overdue.count)
    metrics.OLDEST_OVERDUE_SECONDS.set(overdue.oldest_seconds)
    metrics.SET_ASIDE.set(overdue.quarantined)
    if overdue.count:
        logger.warning(
            "clock.overdue",
            schedules=overdue.count,
            oldest_seconds=round(overdue.oldest_seconds, 1),
            hint="No clock fires them: look for locks that are held for long, and at the clocks' logs.",
        )
    return overdue


def read_overdue() -> Overdue:
    """Counted up to a limit, by the database's clock. One statement, which reads its index alone."""
    parameters: list[Any] = [COUNTED_AT_MOST, conf.clock_pass_budget(), COUNTED_AT_MOST]
    with connection.cursor() as cursor:
        cursor.execute(_OVERDUE, parameters)
        count, oldest, quarantined = cursor.fetchone()
    return Overdue(count=count, oldest_seconds=float(oldest or 0.0), quarantined=quarantined)


def overdue_after() -> timedelta:
    """How late an occurrence may be before it is told by name: a clock that comes back from an outage has first to work
    off what waits."""
    return max(_BUDGETS * conf.clock_pass_budget(), _A_MINUTE)


def tell_each_overdue() -> int:
    """Tell of each occurrence that is long due and that nobody fires, once; return how many were told by this call.
    Opens its own transactions, one an event."""
    with session.bounded() as cursor:
        cursor.execute(_UNTOLD, [overdue_after(), COUNTED_AT_MOST, TOLD_AT_ONCE])
        found = cursor.fetchall()
    told = [event for row in found if (event := _tell_overdue(*row)) is not None]
    metrics.OVERDUE_TOLD.inc(len(told))
    let_hear(told)
    return len(told)


def _tell_overdue(
    schedule_id: UUID, task_id: UUID, next_fire_at: datetime, event_id: UUID, seconds: Decimal
) -> Event | None:
    """Store the event and say it; None where another clock has told it meanwhile."""
    facts = {
        "schedule": str(schedule_id),
        "task": str(task_id),
        "due_at": next_fire_at.astimezone(UTC).isoformat(),
        "seconds": round(float(seconds), 1),
    }
    try:
        with session.bounded():
            event = store(topic=OVERDUE, payload=facts, agent_id=None, depth=0, event_id=event_id, is_unheard=True)
    except IntegrityError:
        return None
    logger.warning("schedule.overdue", **facts, hint="No clock fires it: look for who has locked its task or its row.")
    return event
