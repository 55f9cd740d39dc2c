"""What admission is asked, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from scheduling.runs.states import RunState, TriggerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What is asked for. `params` are laid over the task's, key by key; `available_at` None is now.

    `is_beside_others`: the task's overlap policy does not see this start, nor the run that comes of it (a check of a
    condition; a backfill that allows overlap). `is_backfilled`: a backfill has led to it. `priority` None is the lowest
    then, else the task's own.
    """

    task_id: UUID
    trigger_kind: TriggerKind
    schedule_id: UUID | None = None
    scheduled_for: datetime | None = None
    available_at: datetime | None = None
    params: Mapping[str, Any] | None = None
    simulated: bool = False
    revision_id: UUID | None = None
    event_id: UUID | None = None
    backfill_id: UUID | None = None
    is_backfilled: bool = False
    is_beside_others: bool = False
    priority: int | None = None
    parent_id: UUID | None = None
    replay_of_id: UUID | None = None
    triggered_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What came of a start, in the order of the starts.

    `run_id` is None where nothing was written: the occurrence had its run already. `duplicate_of` names the run that
    stands in for this one under a deduplication key; the skipped run is written all the same, so that it is seen.
    """

    run_id: UUID | None
    state: RunState
    skip_reason: str = ""
    duplicate_of: UUID | None = None
