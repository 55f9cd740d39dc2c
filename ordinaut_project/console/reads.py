"""What the dashboard reads: one statement a function, and none that grows with the history of runs.

Runs of a span of time are found by their ids: a UUIDv7 begins with the millisecond of its making, so the primary key
serves as the index by time that the hot table does not have.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

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
