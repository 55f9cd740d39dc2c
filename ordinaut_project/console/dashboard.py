"""The dashboard: is the clock firing, is the queue moving, who works, what failed, what comes next."""

from collections.abc import Sequence
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest
from django.utils import timezone

from ordinaut_project.console import reads
from ordinaut_project.console.chart import HEIGHT, SERIES, WIDTH, Chart, hourly
from scheduling.clock.overdue import read_overdue
from scheduling.console.words import duration, local_moment, moment, since
from scheduling.queues.selectors import QueueState, queue_states
from workers.bloat import read_warning

# Counting the runs of a day is the one figure that grows with traffic; within this time it is not counted again.
_HISTORY_SECONDS = 15
_OUTCOMES = ("succeeded", "failed", "in progress", "canceled", "skipped", "missed")


def dashboard(request: HttpRequest) -> dict[str, Any]:
    """The context of the page. Figures are shown to whoever may view what they count; others see an empty page."""
    if not request.user.has_perm("scheduling.view_run"):
        return {"is_allowed": False}
    now = timezone.now()
    queues = [state for state in queue_states(now=now) if state.holds_anything or state.is_paused]
    chart, hour, day = _history()
    return {
        "is_allowed": True,
        "warning": read_warning(),
        "figures": [*_figures(queues, hour), _overdue()],
        "queues": [{"row": queue, "age": duration(queue.depth.oldest_due_seconds)} for queue in queues],
        "chart": chart,
        "chart_size": {"width": WIDTH, "height": HEIGHT, "full_height": HEIGHT + 18},
        "series": SERIES,
        "outcomes": [(name, hour.get(name, 0), day.get(name, 0)) for name in _OUTCOMES],
        "failures": [_failure(run, now) for run in reads.latest_failures()],
        "workers": [{"row": worker, "beat": since(worker.beat_at, now=now)} for worker in reads.fleet()],
        "fires": [
            {
                "row": schedule,
                "local": local_moment(schedule.next_fire_at, schedule.timezone),
                "in": since(schedule.next_fire_at, now=now),
            }
            for schedule in reads.next_fires()
        ],
        "tasks": reads.tasks_by_state(),
        "read_at": moment(now),
    }


def _figures(queues: Sequence[QueueState], hour: dict[str, int]) -> list[dict[str, str]]:
    depths = [queue.depth for queue in queues]
    oldest = max((depth.oldest_due_seconds for depth in depths if depth.oldest_due_seconds is not None), default=None)
    return [
        {"label": "Due now", "value": f"{sum(depth.due for depth in depths):,}", "note": "waiting for a free slot"},
        {
            "label": "Oldest due",
            "value": duration(oldest),
            "note": "nothing waits" if oldest is None else "has waited so long",
        },
        {"label": "Running", "value": f"{sum(depth.running for depth in depths):,}", "note": "held by workers"},
        {
            "label": "Later",
            "value": f"{sum(depth.sleeping for depth in depths):,}",
            "note": "retries and future starts",
        },
        {"label": "Gated", "value": f"{sum(depth.gated for depth in depths):,}", "note": "paused, limits, overlap"},
        {
            "label": "Failed",
            "value": f"{hour.get('failed', 0):,}",
            "note": "of the runs of the last hour, simulated ones too",
        },
    ]


def _overdue() -> dict[str, str]:
    """Schedules that no clock fires: the first thing to look at where nothing happens."""
    overdue = read_overdue()
    note = (
        f"no clock fires them, one for {duration(overdue.oldest_seconds)}"
        if overdue.count
        else "schedules fire in time"
    )
    if overdue.quarantined:
        quarantined = f"{overdue.quarantined:,} quarantined" if overdue.quarantined > 1 else "1 is quarantined"
        note = f"{note if overdue.count else 'the others fire in time'}; {quarantined}"
    return {"label": "Overdue", "value": f"{overdue.count:,}", "note": note}


def _failure(run: Any, now: Any) -> dict[str, Any]:
    error = run.error if isinstance(run.error, dict) else {}
    return {
        "row": run,
        "code": error.get("code") or run.cause,
        "detail": error.get("detail", ""),
        "when": since(run.finished_at, now=now),
    }


def _history() -> tuple[Chart, dict[str, int], dict[str, int]]:
    found: tuple[Chart, dict[str, int], dict[str, int]] | None = cache.get("console.history")
    if found is None:
        now = timezone.now()
        outcomes = reads.outcomes(now=now)
        found = (hourly(outcomes.by_hour), outcomes.hour, outcomes.day)
        cache.set("console.history", found, _HISTORY_SECONDS)
    return found
