"""Writes to the row of one worker process, which wait for nobody.

Another transaction may hold the row: a person who has typed FOR UPDATE, another host for a moment. A host that waited
for it would miss the beats of its other processes, or its end. So each statement passes over a locked row (SKIP
LOCKED) and says so, and whoever sent it does without for now and tries again.
"""

import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any
from uuid import UUID

import structlog

logger = structlog.get_logger(__name__)

REPEAT_LINE_EVERY = 30.0  # seconds


class RowWrite(Enum):
    """`UNWANTED`: the row is gone, or not as the statement wants it. `LOCKED`: another transaction holds it."""

    DONE = auto()
    UNWANTED = auto()
    LOCKED = auto()


class RowLocked(Exception):
    """Another transaction holds the row of a worker process; to be tried again after a while."""


def outcome(rows: Sequence[tuple[Any, ...]]) -> RowWrite:
    """Of the answer to such a statement: whether it got the row, and whether there was one to get. A statement may say
    more behind that."""
    [(is_written, is_wanted, *_)] = rows
    if is_written:
        return RowWrite.DONE
    return RowWrite.LOCKED if is_wanted else RowWrite.UNWANTED


class LockedRows:
    """The rows that are locked at the moment, for the log: a line when it is found, one a while, one at the end."""

    def __init__(self) -> None:
        self._told_at: dict[UUID, float] = {}

    def note(self, boot_id: UUID, what: str) -> None:
        """`what` could not be written for that process."""
        now = time.monotonic()
        if now - self._told_at.get(boot_id, -REPEAT_LINE_EVERY) < REPEAT_LINE_EVERY:
            return
        self._told_at[boot_id] = now
        logger.warning(
            "worker.row_is_locked",
            worker=str(boot_id),
            what=what,
            hint="Another transaction holds its row in workers_worker: see pg_locks and pg_stat_activity.",
        )

    def over(self, boot_id: UUID) -> None:
        if self._told_at.pop(boot_id, None) is not None:
            logger.warning("worker.row_is_free", worker=str(boot_id))
