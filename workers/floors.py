"""Where the probes of a claim begin, and how many slots runs of the lowest priority may take."""

import math
from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from scheduling.tasks.models import HIGHEST_PRIORITY, LOWEST_PRIORITY
from workers.claimed import ClaimedRun
from workers.columns import Instants, Smallints, Texts

_NO_FLOOR = datetime(1970, 1, 1, tzinfo=UTC)
_FULL_PROBE_EVERY = 1.0  # seconds
LEFT_TO_OTHERS = 0.25  # of the slots: runs of the lowest priority, which backfills have, do not take them


class Floors:
    """Where each probe of the claim may begin: at the due time that its process took last.

    Rows below it are gone, so they need not be passed over again; under a snapshot that somebody holds, their dead
    versions cannot even be vacuumed, and a claim would grow slower with every claim before it. What does come in
    below (a hand-back, a late commit, a row that another held and let go) is found by a full probe each second, which
    does pass over the dead: its cost grows with their number, and that of no other claim does.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        levels = range(HIGHEST_PRIORITY, LOWEST_PRIORITY + 1)
        self._floors = {(queue, priority): _NO_FLOOR for queue in queues for priority in levels}
        self._full_at = 0.0

    def parameters(
        self, *, now: float, queues: Container[str] | None = None, with_lowest: bool = True
    ) -> dict[str, Any]:
        """The probes of a claim at `now` (monotonic seconds); of some of the queues, or of all, and of all priorities,
        or of all but the lowest."""
        if now - self._full_at >= _FULL_PROBE_EVERY:
            self.forget()
            self._full_at = now
        probes = self._floors
        if queues is not None:
            probes = {probe: floor for probe, floor in probes.items() if probe[0] in queues}
        if not with_lowest:
            probes = {probe: floor for probe, floor in probes.items() if probe[1] != LOWEST_PRIORITY}
        return {
            "queues": Texts(queue for queue, _ in probes),
            "priorities": Smallints(priority for _, priority in probes),
            "floors": Instants(probes.values()),
        }

    def raise_to(self, claimed: Iterable[ClaimedRun]) -> None:
        for run in claimed:
            probe = (run.queue, run.priority)
            self._floors[probe] = max(self._floors[probe], run.available_at)

    def forget(self) -> None:
        self._floors = dict.fromkeys(self._floors, _NO_FLOOR)


def lowest_among(claimed: Iterable[ClaimedRun]) -> int:
    """How many are of the lowest priority."""
    return sum(run.priority == LOWEST_PRIORITY for run in claimed)


def slots_for_lowest(slots: int) -> int:
    """Of a process's slots those that runs of the lowest priority may take: at least one, and never all of several."""
    return slots - min(slots - 1, math.ceil(slots * LEFT_TO_OTHERS))
