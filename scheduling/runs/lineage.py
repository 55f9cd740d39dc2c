"""Where a run comes from: the run that started it, or whose end did."""

from collections.abc import Iterator
from uuid import UUID

from scheduling.runs.models import Run
from scheduling.runs.states import TriggerKind

MOST_ANCESTORS = 16


def lineage(run: Run) -> Iterator[Run]:
    """The run and those it comes from, one after the other, a bounded number. Reads one row each."""
    above: Run | None = run
    for _ in range(MOST_ANCESTORS + 1):
        if above is None:
            return
        yield above
        origin = _origin_of(above)
        above = None if origin is None else Run.objects.select_related("event").filter(pk=origin).first()


def is_of_backfill(run: Run) -> bool:
    """Whether a backfill has led to it: directly, as a run that another one runs, or as one that follows."""
    return any(each.backfill_id is not None for each in lineage(run))


def _origin_of(run: Run) -> UUID | None:
    if run.parent_id is not None or run.trigger_kind != TriggerKind.AFTER or run.event is None:
        return run.parent_id
    try:
        return UUID(str(run.event.payload["run"]))
    except (KeyError, TypeError, ValueError):
        return None
