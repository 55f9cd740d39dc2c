"""What the dashboard reads: one statement a function, and none that grows with the history of runs.

Runs of a span of time are found by their ids: a UUIDv7 begins with the millisecond of its making, so the primary key
serves as the index by time that the hot table does not have.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncHour

from scheduling.ids import first_id_at
from scheduling.runs.models import Run
from scheduling.runs.states import LIVE_STATES, RunState
from scheduling.schedules.models import Schedule, ScheduleState
from scheduling.tasks.models import Task
from workers.models import Worker

HOURS = 24
_LATEST_FAILURES = 6
_NEXT_FIRES = 10
_WORKERS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Due work of one queue. `oldest_at`: since when the oldest row that may be claimed has been due."""

    name: str
    due: int
    later: int
    running: int
    gated: int
    oldest_at: datetime | None
    is_paused: bool = False
    pause_reason: str = ""


# Purpose: what the queues hold, and which are paused: those that hold nothing, too. Index: none, both are small.
_DEPTHS = """
SELECT COALESCE(depth.queue, paused.name), COALESCE(due, 0), COALESCE(later, 0), COALESCE(running, 0),
       COALESCE(gated, 0), oldest_at, paused.name IS NOT NULL, COALESCE(paused.pause_reason, '')
FROM (
    SELECT queue,
           count(*) FILTER (WHERE lease_owner IS NULL AND gate IS NULL AND available_at <= %(now)s) AS due,
           count(*) FILTER (WHERE lease_owner IS NULL AND gate IS NULL AND available_at > %(now)s) AS later,
           count(*) FILTER (WHERE lease_owner IS NOT NULL) AS running,
           count(*) FILTER (WHERE gate IS NOT NULL) AS gated,
           min(available_at) FILTER (
               WHERE lease_owner IS NULL AND gate IS NULL AND available_at <= %(now)s
           ) AS oldest_at
    FROM scheduling_duework
    GROUP BY queue
) AS depth
FULL JOIN (
    SELECT name, pause_reason FROM scheduling_queue
    WHERE paused_at IS NOT NULL AND COALESCE(paused_until > %(now)s, true)
) AS paused ON paused.name = depth.queue
ORDER BY 1
"""


def queue_depths(*, now: datetime) -> list[QueueDepth]:
    with connection.cursor() as cursor:
        cursor.execute(_DEPTHS, {"now": now})
        return [QueueDepth(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How many runs were made, by what came of them; those that are not over yet are `in progress`.

    `by_hour` has each of the last 24 hours on the clock, the present one last; an hour without runs is empty.
    """

    by_hour: dict[datetime, dict[str, int]]
    hour: dict[str, int]
    day: dict[str, int]


def outcomes(*, now: datetime) -> Outcomes:
    """Those of the last day, in one statement."""
    of_hour = Q(id__gte=first_id_at(now - timedelta(hours=1)))
    rows = list(
        Run.objects.filter(id__gte=first_id_at(now - timedelta(days=1)))
        .annotate(hour=TruncHour("created_at"))
        .values_list("hour", "state")
        .annotate(of_hour=Count("pk", filter=of_hour), count=Count("pk"))
        .order_by()
    )
    found: dict[datetime, list[tuple[str, int]]] = {}
    for hour, state, _, count in rows:
        found.setdefault(hour, []).append((state, count))
    earliest = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    hours = (earliest + timedelta(hours=step) for step in range(HOURS))
    return Outcomes(
        by_hour={hour: _by_outcome(found.get(hour, [])) for hour in hours},
        hour=_by_outcome((state, of_hour) for _, state, of_hour, _ in rows if of_hour),
        day=_by_outcome((state, count) for _, state, _, count in rows),
    )


def latest_failures() -> QuerySet[Run]:
    """The newest dead letters; their index holds failed runs alone."""
    failed = Run.objects.filter(state=RunState.FAILED).select_related("task")
    return failed.defer("params", "output").order_by("-id")[:_LATEST_FAILURES]


def fleet() -> QuerySet[Worker]:
    return Worker.objects.live().order_by("host", "pid")[:_WORKERS_SHOWN]


def next_fires() -> QuerySet[Schedule]:
    timed = Schedule.objects.filter(state=ScheduleState.ACTIVE, held_at=None, next_fire_at__isnull=False)
    return timed.select_related("task").order_by("next_fire_at", "id")[:_NEXT_FIRES]


def tasks_by_state() -> dict[str, int]:
    return dict(Task.objects.values_list("state").annotate(count=Count("pk")).order_by())


def _by_outcome(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    outcomes: dict[str, int] = {}
    for state, count in rows:
        outcome = "in progress" if state in LIVE_STATES else state
        outcomes[outcome] = outcomes.get(outcome, 0) + count
    return outcomes
