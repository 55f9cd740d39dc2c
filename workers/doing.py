"""What a worker process does at the moment, in the form in which it tells its supervisor and its row keeps it.

There is no index on the lease of due work (every claim would pay for it), so who holds which run is not asked of the
queue: each process says so itself, once a beat. Whoever reads it looks the runs up by their ids and believes the queue.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pipelines.engine.paths import shown_path

MOST_TOLD = 40  # runs of one process; a tick has to fit into a datagram
_LONGEST_PATH = 120
_FOR_PROCESS = "process"
_SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Doing:
    """One run in a slot; `step` is the call that is open there, None between calls. `waits_for_process`: the call has
    not begun, because every process for isolated tools is busy."""

    run_id: UUID
    step: str | None = None
    step_since: datetime | None = None
    waits_for_process: bool = False
    is_simulated: bool = False

    def told(self) -> list[str | None]:
        since = None if self.step_since is None else self.step_since.isoformat()
        entry = [str(self.run_id), None if self.step is None else self.step[:_LONGEST_PATH], since]
        marks = ((_FOR_PROCESS, self.waits_for_process), (_SIMULATED, self.is_simulated))
        return [*entry, *(mark for mark, holds in marks if holds)]


def told(doings: Iterable[Doing]) -> list[list[str | None]]:
    """The first forty, as JSON values."""
    return [doing.told() for doing, _ in zip(doings, range(MOST_TOLD), strict=False)]


def heard(value: Any) -> dict[UUID, Doing]:
    """What `told` made, by run; a row of another release that says it otherwise says nothing."""
    found: dict[UUID, Doing] = {}
    for entry in value if isinstance(value, list) else ():
        try:
            run_id, step, since, *marks = entry
            at = None if since is None else datetime.fromisoformat(since)
            doing = Doing(UUID(run_id), step, at, _FOR_PROCESS in marks, _SIMULATED in marks)
        except (TypeError, ValueError):
            continue
        found[doing.run_id] = doing
    return found


def open_step(calls: Mapping[tuple[str, int], Any]) -> tuple[str | None, datetime | None]:
    """The call that was begun first and has no result yet, and since when."""
    entries: Sequence[Any] = list(calls.values())
    first = min(entries, key=lambda entry: entry.started_at, default=None)
    return (None, None) if first is None else (shown_path(first.path), first.started_at)
