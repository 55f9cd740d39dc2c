"""Why a run does not run, or what it does, in words: pure, of where the run stands (`workers.standing`).

The most important reason comes first; a run that will start at once has a reason, too.
"""

from collections.abc import Iterator

from workers.reasons.ended import ended
from workers.reasons.held import admitted_when_due, gated, later, questions, waits
from workers.reasons.leased import cancel_requested, leased
from workers.reasons.queued import handed_back, of_queue, of_workers
from workers.reasons.reason import Reason
from workers.standing import Standing

__all__ = ["Reason", "reasons_of"]


def reasons_of(standing: Standing) -> Iterator[Reason]:
    work = standing.work
    if work is None:
        yield ended(standing)
        return
    if work.cancel_requested_at is not None:
        yield cancel_requested(standing, work)
    if work.lease_owner is not None:
        yield from leased(standing, work)
        return
    yield from gated(standing, work)
    yield from waits(standing)
    yield from questions(standing)
    yield from later(standing, work)
    yield from of_queue(standing)
    yield from of_workers(standing, work)
    yield from admitted_when_due(standing, work)
    yield from handed_back(work)
