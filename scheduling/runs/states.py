"""The states of a run and the edges between them: the one place in code that knows the graph.

    queued  > running | canceled | skipped | failed
    running > succeeded | failed | canceled | waiting | queued
    waiting > queued | canceled | failed | succeeded
    failed  > queued                                         (redrive, with a new lease epoch)

`missed` is born and stays: an occurrence that never became due work. A claim does not write the run's row: *running*
is read from its due work (see `scheduling.runs.selectors`), so the row of a running run says queued or waiting.
"""

from django.db import models


class RunState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"
    MISSED = "missed"


EDGES: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELED, RunState.SKIPPED, RunState.FAILED}),
    RunState.RUNNING: frozenset(
        {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED, RunState.WAITING, RunState.QUEUED}
    ),
    RunState.WAITING: frozenset({RunState.QUEUED, RunState.CANCELED, RunState.FAILED, RunState.SUCCEEDED}),
    RunState.FAILED: frozenset({RunState.QUEUED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.CANCELED: frozenset(),
    RunState.SKIPPED: frozenset(),
    RunState.MISSED: frozenset(),
}

LIVE_STATES = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.WAITING})
FINAL_STATES = frozenset(RunState) - LIVE_STATES


class FailureCause(models.TextChoices):
    """Why a failed run failed."""

    EXHAUSTED = "exhausted"
    PERMANENT = "permanent"
    QUARANTINED = "quarantined"
    DEADLINE = "deadline"
    IN_DOUBT = "in_doubt"


class SkipReason(models.TextChoices):
    """Why a run was born skipped."""

    OVERLAP = "overlap"
    DUPLICATE = "duplicate"


class TriggerKind(models.TextChoices):
    """Who asked for the run."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    REPLAY = "replay"
    BACKFILL = "backfill"
    EVENT = "event"
    CONDITION = "condition"
    AFTER = "after"
    CHECK = "check"
    RUN = "run"


class Gate(models.TextChoices):
    """Why due work may not be claimed yet. Gated rows are outside the claim's index."""

    PAUSED = "paused"
    OVERLAP = "overlap"
    KEY = "key"
    SUSPECT = "suspect"
