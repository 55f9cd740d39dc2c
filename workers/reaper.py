"""Declaring worker processes dead, and giving their work to others.

Death is what a reaper has itself watched: the beat of a process standing still for as long as it takes, looked at
again and again over a healthy connection. The database's time of the last beat would not do: after an hour without the
database it would condemn the whole fleet. Any number of reapers may watch the same process; the guarded update lets
one of them win, and a beat in time lets none.
"""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import orjson
import psycopg
import structlog

from pipelines.errors import ErrorClass, PipelineError
from workers import conf
from workers.columns import Uuids
from workers.connection import Database, Row, fetch_within
from workers.points import reach
from workers.row_writes import RowLocked, RowWrite, outcome
from workers.settlement import CANCELED
from workers.statements import (
    BEATS,
    CLOSE_QUESTIONS,
    DECLARE_DEAD,
    DECLARE_LOST,
    GIVE_AWAY,
    OVERDUE,
    PRUNE_WAITS,
    STRAY_OWNERS,
)

logger = structlog.get_logger(__name__)

OVERDUE_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A run whose process died, in the order of the columns that giving it away returns."""

    run_id: UUID
    was_suspect: bool
    is_quarantined: bool
    task_id: UUID
    is_exclusive: bool
    concurrency_key: str | None
    is_canceled: bool

    @property
    def has_ended(self) -> bool:
        return self.is_quarantined or self.is_canceled


@dataclass(frozen=True, slots=True)
class HandOver:
    """What a dead process left. `is_row_locked`: another transaction holds its row, which could not be told yet.
    `is_drained`: somebody wanted it to drain, and nobody to follow it."""

    orphans: list[Orphan]
    is_row_locked: bool = False
    is_drained: bool = False


@dataclass(slots=True)
class _Sight:
    beat_number: int
    since: float


class Observations:
    """What one reaper has seen of the beats. Pure: the time is given, in seconds of the host's boot time."""

    def __init__(self, *, reap_after: timedelta, max_gap: timedelta) -> None:
        """`max_gap`: after a longer pause between two looks everything before counts for nothing, because this
        process itself was away, and the others may have been away with it."""
        self._reap_after = reap_after.total_seconds()
        self._max_gap = max_gap.total_seconds()
        self._sights: dict[UUID, _Sight] = {}
        self._looked_at: float | None = None

    def forget(self) -> None:
        self._sights.clear()

    def look(self, beats: Iterable[tuple[UUID, int]], *, now: float) -> list[tuple[UUID, int]]:
        """Take in the present beat numbers; return those that have stood still for too long."""
        if self._looked_at is not None and now - self._looked_at > self._max_gap:
            self.forget()
        self._looked_at = now
        before, self._sights = self._sights, {}
        still: list[tuple[UUID, int]] = []
        for boot_id, beat_number in beats:
            sight = before.get(boot_id)
            if sight is None or sight.beat_number != beat_number:
                sight = _Sight(beat_number, now)
            self._sights[boot_id] = sight
            if now - sight.since >= self._reap_after:
                still.append((boot_id, beat_number))
        return still


class Reaper:
    """Gives the work of dead processes away. Every method raises DatabaseUnavailable, and none waits for a lock on the
    row of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beats(self) -> list[tuple[UUID, int]]:
        """The beat number of every process that counts as living."""
        return [(boot_id, beat_number) for boot_id, beat_number in await self._database.fetch(BEATS)]

    async def reap(self, boot_id: UUID, beat_number: int) -> list[Orphan] | None:
        """Declare a process lost whose beat still is `beat_number`; None where it has beaten, or is dead already.

        Raises RowLocked: until the row is free nobody knows whether it has.
        """
        async with self._database.transaction() as connection:
            seen = {"boot_id": boot_id, "beat_number": beat_number, "reason": _stood_still()}
            declared = outcome(await fetch_within(connection, DECLARE_LOST, seen))
            if declared is RowWrite.LOCKED:
                raise RowLocked(str(boot_id))
            if declared is RowWrite.UNWANTED:
                return None
            reach("after-declare")
            orphans = await self._give_away(connection, [boot_id])
            reach("before-give-away-commit")
        logger.warning("worker.lost", worker=str(boot_id), runs=len(orphans))
        return orphans

    async def hand_over(self, boot_id: UUID, *, reason: str, error: str = "", seems_orderly: bool = False) -> HandOver:
        """Give away the work of a process whose end its supervisor has seen. One that `seems_orderly` (its exit code is
        that of a drain, which a tool may give, too) has none where it has said itself that it stopped. It is dead
        whatever its row says, so a row that is locked keeps no lease; it is to be told by another call."""
        async with self._database.transaction() as connection:
            told = {"boot_id": boot_id, "reason": reason, "error": error or reason}
            rows = await fetch_within(connection, DECLARE_DEAD, told)
            declared, is_drained = outcome(rows), bool(rows[0][2])
            if seems_orderly and declared is RowWrite.UNWANTED:
                return HandOver([], is_drained=is_drained)
            reach("after-declare")
            orphans = await self._give_away(connection, [boot_id])
            reach("before-give-away-commit")
        is_locked = declared is RowWrite.LOCKED
        if orphans or not is_locked:
            logger.warning("worker.died", worker=str(boot_id), reason=reason, runs=len(orphans))
        return HandOver(orphans, is_locked, is_drained)

    async def sweep(self) -> list[Orphan]:
        """Give away what processes hold that are dead, whenever they died; forget waits of runs that have ended."""
        await self._database.fetch(PRUNE_WAITS)
        await self._database.fetch(CLOSE_QUESTIONS)
        strays = [boot_id for (boot_id,) in await self._database.fetch(STRAY_OWNERS)]
        if not strays:
            return []
        async with self._database.transaction() as connection:
            orphans = await self._give_away(connection, strays)
        logger.warning("worker.strays_swept", workers=[str(boot_id) for boot_id in strays], runs=len(orphans))
        return orphans

    async def overdue(self) -> list[tuple[UUID, UUID]]:
        """Runs, with their processes, whose deadline passed a while ago and that are held all the same."""
        rows = await self._database.fetch(OVERDUE, {"margin": OVERDUE_MARGIN})
        return [(run_id, boot_id) for run_id, boot_id, _ in rows]

    async def _give_away(self, connection: psycopg.AsyncConnection[Row], boot_ids: Sequence[UUID]) -> list[Orphan]:
        limit = conf.quarantine_after()
        rows = await fetch_within(
            connection,
            GIVE_AWAY,
            {
                "boot_ids": Uuids(boot_ids),
                "limit": limit,
                "error": _quarantine_error(limit),
                "canceled": orjson.dumps(CANCELED.as_dict()),
            },
        )
        orphans = [Orphan(*row) for row in rows]
        for orphan in orphans:
            if orphan.is_quarantined:
                logger.error("run.quarantined", run=str(orphan.run_id), task=str(orphan.task_id), deaths=limit)
        return orphans


def _stood_still() -> str:
    seconds = conf.reap_after().total_seconds()
    return f"its beat stood still for {seconds:g} s, as the worker host {platform.node()} saw"


def _quarantine_error(limit: int) -> bytes:
    error = PipelineError(
        "quarantined",
        ErrorClass.PERMANENT,
        f"{limit} worker processes died while they ran this run and it was suspected",
    )
    return orjson.dumps(error.as_dict())
