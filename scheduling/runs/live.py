"""What is live of an exclusive task. Each function requires a transaction that holds the task."""

from typing import Any
from uuid import UUID

from scheduling.runs.admission_statements import LIVE_RUNS


def has_live_runs(cursor: Any, task_id: UUID) -> bool:
    """True where a run is live, and not only held."""
    cursor.execute(LIVE_RUNS, [[task_id]])
    row = cursor.fetchone()
    return row is not None and bool(row[1])


def is_backfilled(cursor: Any, task_id: UUID) -> bool:
    """True where there are live runs, and backfills have led to all of them."""
    cursor.execute(LIVE_RUNS, [[task_id]])
    row = cursor.fetchone()
    return row is not None and 0 < row[1] == row[3]
