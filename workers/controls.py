"""What a process knows of how its queues are operated, a second old at most."""

from collections.abc import Sequence
from dataclasses import dataclass

from workers.columns import Texts
from workers.connection import Database
from workers.statements import QUEUE_CONTROLS

_READ_EVERY = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class QueueControl:
    """In the order of the columns of `queue_controls`. Pauses are not here: the claim itself reads them."""

    queue: str
    is_limited: bool
    is_fair: bool
    weight: int

    @property
    def is_plain(self) -> bool:
        return not (self.is_limited or self.is_fair)


class Controls:
    """Reads the rows of the queues again when what is known is old, or when somebody says that it has changed."""

    def __init__(self, database: Database, queues: Sequence[str]) -> None:
        self._database = database
        self._queues = Texts(queues)
        self._known: dict[str, QueueControl] = {}
        self._read_at: float | None = None

    async def current(self, *, now: float) -> dict[str, QueueControl]:
        """By queue, at `now` (monotonic seconds). Raises DatabaseUnavailable."""
        if self._read_at is None or now - self._read_at >= _READ_EVERY:
            rows = await self._database.fetch(QUEUE_CONTROLS, {"queues": self._queues})
            self._known = {row[0]: QueueControl(*row) for row in rows}
            self._read_at = now
        return self._known

    def forget(self) -> None:
        self._read_at = None


def are_alike(controls: dict[str, QueueControl]) -> bool:
    """True where one statement claims from all: no rate, nothing fair, and no queue heavier than another."""
    return all(control.is_plain for control in controls.values()) and len({c.weight for c in controls.values()}) <= 1
