"""Where a run comes from: the run whose step has started it, and the event that has begun it all."""

from collections.abc import Iterator

from scheduling.runs.models import Run

MOST_ANCESTORS = 16


def lineage(run: Run) -> Iterator[Run]:
    """The run and those above it, one after the other, a bounded number. Reads one row each."""
    above: Run | None = run
    for _ in range(MOST_ANCESTORS + 1):
        if above is None:
            return
        yield above
        above = None if above.parent_id is None else Run.objects.filter(pk=above.parent_id).first()


def event_depth(run: Run) -> int:
    """How many events, one after the other, have led to the run: the depth of its own, or of the nearest above it. A
    step that starts a run is no event, and begins no new chain."""
    return next((each.event.depth for each in lineage(run) if each.event is not None), 0)
