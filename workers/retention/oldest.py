"""The oldest row of each kind, read by the index that its walk goes by."""

from collections.abc import Callable
from datetime import datetime

from django.db.models import Min
from django_apscheduler.models import DjangoJobExecution

from scheduling.events.models import Event
from scheduling.runs.models import Run
from scheduling.schedules.models import Miss
from workers.models import Retention, Worker
from workers.retention.kinds import KINDS, NO_ID

_LOOKED_AT = 1000


def oldest_of(kind: str) -> datetime | None:
    """When the oldest row of a kind was made; None where there is none, or none among the first thousand of its walk
    (other kinds stand before it), and for kinds that have no age."""
    if kind in KINDS and KINDS[kind].states:
        return _oldest_run(kind)
    reader = _READERS.get(kind)
    return None if reader is None else reader()


def _oldest_run(kind: str) -> datetime | None:
    """Everything of a kind before the start of its lap is gone, but for what a late clock made since."""
    start = Retention.objects.filter(kind=kind).values_list("lap_start", flat=True).first() or NO_ID
    rows = Run.objects.filter(id__gte=start).order_by("id").values_list("state", "created_at")[:_LOOKED_AT]
    return next((made for state, made in rows if state in KINDS[kind].states), None)


_READERS: dict[str, Callable[[], datetime | None]] = {
    "events": lambda: Event.objects.order_by("id").values_list("created_at", flat=True).first(),
    "misses": lambda: Miss.objects.order_by("id").values_list("recorded_at", flat=True).first(),
    "executions": lambda: DjangoJobExecution.objects.order_by("id").values_list("run_time", flat=True).first(),
    "workers": lambda: Worker.objects.filter(stopped_at__isnull=False).aggregate(at=Min("stopped_at"))["at"],
}
