"""Claiming: which due runs a process takes, and what it then knows of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from scheduling.tasks.models import HIGHEST_PRIORITY, LOWEST_PRIORITY
from workers.columns import Instants, Smallints, Texts, Uuids
from workers.connection import Database
from workers.statements import CLAIM, CLAIM_SUSPECT, RELEASE_UNKNOWN

PRIORITY_STEP = timedelta(seconds=60)  # what one step of priority is worth in waiting; the claim's SQL has it too
_NO_FLOOR = datetime(1970, 1, 1, tzinfo=UTC)
_FULL_PROBE_EVERY = 1.0  # seconds


@dataclass(slots=True)
class ClaimedRun:
    """A leased run, in the order of the columns that the claim returns.

    `revision_id` is None where the run's own row is missing. `started_at` is the first claim of all: the `now` of
    every attempt. `read_at` is the database's clock at the end of the claim.
    """

    run_id: UUID
    task_id: UUID
    revision_id: UUID | None
    agent_id: UUID | None
    lease_epoch: int
    attempt: int
    claim_count: int
    handback_count: int
    queue: str
    priority: int
    available_at: datetime
    started_at: datetime
    deadline_at: datetime | None
    is_suspect: bool
    is_exclusive: bool
    concurrency_key: str | None
    is_cancel_requested: bool
    params: bytes | None
    simulated: bool | None
    scheduled_for: datetime | None
    trigger_kind: str | None
    was_waiting: bool | None
    has_started_before: bool | None
    task_version: int | None
    event_id: UUID | None
    read_at: datetime

    @property
    def place(self) -> tuple[datetime, UUID]:
        """Sorts runs as the claim orders them: due time plus a minute a priority."""
        return self.available_at + self.priority * PRIORITY_STEP, self.run_id

    @property
    def may_have_history(self) -> bool:
        """True where an earlier claim may have journaled steps: a retry, a resumption, a hand-back, a death."""
        return self.claim_count > 1 or bool(self.has_started_before)


class Floors:
    """Where each probe of the claim may begin: at the due time that its process took last.

    Rows below it are gone, so they need not be passed over again; under a snapshot that somebody holds, their dead
    versions cannot even be vacuumed, and a claim would grow slower with every claim before it. What does come in
    below (a hand-back, a late commit, a row that another held and let go) is found by a full probe each second.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        levels = range(HIGHEST_PRIORITY, LOWEST_PRIORITY + 1)
        self._floors = {(queue, priority): _NO_FLOOR for queue in queues for priority in levels}
        self._full_at = 0.0

    def parameters(self, *, now: float) -> dict[str, Any]:
        """The probes of a claim at `now` (monotonic seconds)."""
        if now - self._full_at >= _FULL_PROBE_EVERY:
            self.forget()
            self._full_at = now
        return {
            "queues": Texts(queue for queue, _ in self._floors),
            "priorities": Smallints(priority for _, priority in self._floors),
            "floors": Instants(self._floors.values()),
        }

    def raise_to(self, claimed: Sequence[ClaimedRun]) -> None:
        for run in claimed:
            probe = (run.queue, run.priority)
            self._floors[probe] = max(self._floors[probe], run.available_at)

    def forget(self) -> None:
        self._floors = dict.fromkeys(self._floors, _NO_FLOOR)


class Claimer:
    """Takes due runs of some queues for one process."""

    def __init__(self, database: Database, *, boot_id: UUID, queues: Sequence[str]) -> None:
        self._database = database
        self._boot_id = boot_id
        self._queues = Texts(queues)
        self._floors = Floors(queues)

    async def claim(self, *, limit: int) -> list[ClaimedRun]:
        """Lease at most `limit` runs and return them in the order in which they are to start.

        Commits. Raises DatabaseUnavailable; the claim may have been committed all the same (see `release_unknown`).
        """
        parameters = self._floors.parameters(now=time.monotonic())
        rows = await self._database.fetch(CLAIM, {**parameters, "limit": limit, "boot_id": self._boot_id})
        claimed = sorted((ClaimedRun(*row) for row in rows), key=lambda run: run.place)
        if claimed:
            self._floors.raise_to(claimed)
        else:
            self._floors.forget()
        return claimed

    async def claim_suspect(self) -> ClaimedRun | None:
        """Lease one run whose last worker died; None where there is none. Ask only while holding none."""
        rows = await self._database.fetch(CLAIM_SUSPECT, {"queues": self._queues, "boot_id": self._boot_id})
        return ClaimedRun(*rows[0]) if rows else None

    async def release_unknown(self, held: Sequence[UUID]) -> int:
        """Let go leases of this process other than `held`, and return how many there were. Raises
        DatabaseUnavailable."""
        rows = await self._database.fetch(RELEASE_UNKNOWN, {"run_ids": Uuids(held), "boot_id": self._boot_id})
        return len(rows)
