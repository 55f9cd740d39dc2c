"""A run that a process has leased."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from scheduling.runs.states import TriggerKind

PRIORITY_STEP = timedelta(seconds=60)  # what one step of priority is worth in waiting; the claim's SQL has it too


@dataclass(slots=True)
class ClaimedRun:
    """A leased run, in the order of the columns that the claim returns.

    `revision_id` is None where the run's own row is missing. `started_at` is the first claim of all: the `now` of
    every attempt. `is_paused`: its task was paused after it was made, so that it has to wait. `read_at` is the
    database's clock at the end of the claim.
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
    redriven_at: datetime | None
    is_paused: bool | None
    read_at: datetime

    @property
    def fair_agent_id(self) -> UUID:
        """Whose turn it is in a fair queue; all runs whose row is missing take one turn."""
        return self.agent_id or UUID(int=0)

    @property
    def trying_since(self) -> datetime:
        """From when the run's policy counts: a redrive gives all of it anew."""
        return self.started_at if self.redriven_at is None else max(self.started_at, self.redriven_at)

    @property
    def place(self) -> tuple[datetime, UUID]:
        """Sorts runs as the claim orders them: due time plus a minute a priority."""
        return self.available_at + self.priority * PRIORITY_STEP, self.run_id

    @property
    def may_have_history(self) -> bool:
        """True where steps may have been journaled before: a retry, a resumption, a hand-back, a death, a replay."""
        return self.claim_count > 1 or bool(self.has_started_before) or self.trigger_kind == TriggerKind.REPLAY
