"""What the tests of backfills share."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from scheduling.backfills.models import Backfill
from scheduling.models import DueWork, Run
from scheduling.runs.states import RunState

FIRST = datetime(2026, 3, 1, 9, tzinfo=UTC)


def days(*numbers: int) -> list[datetime]:
    return [FIRST + timedelta(days=number) for number in numbers]


def backfilled(backfill: Backfill) -> list[datetime | None]:
    return list(Run.objects.filter(backfill=backfill).order_by("scheduled_for").values_list("scheduled_for", flat=True))


def end_runs(runs: Sequence[Run] | None = None) -> int:
    """What the workers do: the run ends and its due work is gone."""
    ended = [run.pk for run in runs] if runs is not None else list(DueWork.objects.values_list("pk", flat=True))
    DueWork.objects.filter(pk__in=ended).delete()
    Run.objects.filter(pk__in=ended).update(state=RunState.SUCCEEDED, finished_at=timezone.now())
    return len(ended)
