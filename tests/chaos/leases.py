"""Which lease was given when, when it was lost, and how long after that its holder may not know it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.history import History
from tests.chaos.ledger import Line
from tests.chaos.rules import SLACK, changes_of_work

Lease = tuple[str, int]  # a run and an epoch: the runs of one claim share its epoch, not their ends


@dataclass(frozen=True, slots=True)
class Leases:
    """`lost_at`: in seconds since 1970. `bound`: the seconds after its loss in which a holder may begin calls.
    `stood_still`: as in `History`."""

    given: frozenset[Lease]
    lost_at: dict[Lease, float]
    bound: float
    stood_still: Sequence[tuple[int, float, float]]

    @classmethod
    def of(cls, history: History) -> "Leases":
        given: set[Lease] = set()
        lost_at: dict[Lease, float] = {}
        for change in changes_of_work(history):
            if change.owner is not None and change.epoch is not None:
                given.add((change.run, change.epoch))
            if change.was_owner is not None and change.was_epoch is not None and change.owner != change.was_owner:
                lost_at.setdefault((change.run, change.was_epoch), change.at.timestamp())
        bound = history.abort_after.total_seconds() + SLACK
        return cls(frozenset(given), lost_at, bound, history.stood_still)

    def say_if_too_late(self, line: Line) -> str:
        """What is wrong with a call that began there and then, by its lease; empty where nothing is."""
        lease = (line.run, line.epoch)
        if lease not in self.given:
            return f"epoch {line.epoch} began a call and never had the run"
        lost = self.lost_at.get(lease)
        if lost is None or line.at <= lost + self.bound or self._stood_still(line, lost):
            return ""
        return f"epoch {line.epoch} began a call {line.at - lost:.1f} s after its loss"

    def _stood_still(self, line: Line, lost: float) -> bool:
        """Whether its process has not lived through that time."""
        return any(
            pid == line.worker and until > lost and line.at <= until + self.bound for pid, _, until in self.stood_still
        )
