"""A turn of retention: batch after batch of every kind, until nothing is left or the time is over."""

import asyncio
import platform
import time
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog

from scheduling.ids import first_id_at
from workers import conf
from workers.columns import Texts, Uuids
from workers.connection import REFUSED, Database, Row, fetch_within
from workers.retention.kinds import KINDS, Kind
from workers.statements import (
    DELETE_RUNS,
    RETENTION_LOCK,
    RETENTION_MARK,
    RETENTION_MOVED,
    RETENTION_TURNS,
)

logger = structlog.get_logger(__name__)

TURN_EVERY = timedelta(minutes=1)
STATEMENT_LIMIT = timedelta(minutes=1)
PAUSE = 0.05  # seconds between two batches, for others who want the disk
PATIENCE = 2 * STATEMENT_LIMIT  # for a kind that another host is deleting of: a batch of it takes half of that at most
LOOK_PER_ROW = 5  # so many times as many rows are looked at with a statement as it may delete
STEPS_PER_ROW = 20
PREVIEWED = 10_000  # rows of one statement that is taken back
ALL_STEPS = 2**31 - 1
WHOLE_LAP_EVERY = timedelta(days=7)
CLOCKS_APART = timedelta(days=1)  # an id tells the time of the host that made it, which may be wrong by so much
_LOCK_SPACE = 0x0D2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a kind's walk stands. Empty texts are the beginning."""

    cursor: str
    lap_start: str
    lap_at: datetime
    is_resting: bool

    def begun(self, kind: Kind, *, now: datetime) -> "Mark":
        """The mark to go on from: a new lap where the last one began long enough ago and has come to its end. The first
        lap of a week is a whole one: it meets also what was made behind the others, by a host whose clock is late."""
        if self.cursor and not (self.is_resting and now - self.lap_at >= kind.lap_every):
            return self
        is_whole = not kind.is_ordered or _week_of(now) != _week_of(self.lap_at)
        # What the last lap met first of what stays; where nothing stayed, where it ended.
        start = "" if is_whole else self.lap_start or self.cursor
        return Mark(cursor=start or kind.first, lap_start="", lap_at=now, is_resting=False)

    def moved(self, batch: "Batch") -> "Mark":
        """The mark after a batch."""
        return Mark(
            cursor=self.cursor if batch.last is None else batch.last,
            lap_start=self.lap_start or batch.kept or "",
            lap_at=self.lap_at,
            is_resting=batch.is_over,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of one statement. `last`: how far it looked; `kept`: the first row it passed over; None where there was
    none. `is_elsewhere`: another host is at it, and nothing was looked at."""

    deleted: int
    last: str | None
    kept: str | None
    is_over: bool
    is_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of a turn: rows by kind, those of nothing left out. `failed`: kinds whose rows the database refuses to
    delete, and why; they are tried again in the next turn, and the others go on without them. `elsewhere`: kinds that
    another host was at for longer than there was patience."""

    deleted: Counter[str]
    seconds: float
    is_over: bool
    failed: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Sequence[str] = ()


@dataclass(slots=True)
class _Sweep:
    """A turn under way. `left`: the kinds that are not through, and when each was last got hold of (monotonic)."""

    left: dict[str, float]
    patience: timedelta
    deleted: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)

    def refuse(self, name: str, why: str) -> None:
        del self.left[name]
        self.failed[name] = why

    def note(self, name: str, batch: Batch) -> None:
        """What came of a kind's next batch."""
        now = time.monotonic()
        self.deleted[name] += batch.deleted
        if batch.is_elsewhere:
            if now - self.left[name] >= self.patience.total_seconds():
                del self.left[name]
                self.elsewhere.append(name)
        elif batch.is_over:
            del self.left[name]
        else:
            self.left[name] = now


class Retention:
    """Deletes over `database`, whose statements should be given a minute. Methods raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.deleted: Counter[str] = Counter(dict.fromkeys(KINDS, 0))

    async def turn(self) -> Turn | None:
        """Take the turns that nobody has taken within the last minute; None where retention is off here."""
        budget = conf.retention_budget()
        if not budget:
            return None
        return await self.sweep(await self._take(mortal_kinds(), every=TURN_EVERY), within=budget)

    async def lap(self, names: Collection[str]) -> Turn:
        """A whole new lap of these kinds, now, however long it takes: also of what another host is at right now, which
        is waited for."""
        return await self.sweep(await self._take(names, every=timedelta(0), anew=True), patience=PATIENCE)

    async def _take(self, names: Iterable[str], *, every: timedelta, anew: bool = False) -> list[str]:
        asked = {"kinds": Texts(names), "host": platform.node()[:120], "every": every, "anew": anew}
        return [name for (name,) in await self._database.fetch(RETENTION_TURNS, asked)]

    async def sweep(
        self, names: Collection[str], *, within: timedelta | None = None, patience: timedelta = timedelta(0)
    ) -> Turn:
        """Delete what is old of these kinds, a batch of each in turn, at most for so long. A kind that another host is
        at is tried again for as long as there is `patience`, and left to it then. Logs what was deleted."""
        began_at = time.monotonic()
        sweep = _Sweep(left={name: began_at for name in KINDS if name in names}, patience=patience)
        while sweep.left:
            for name in list(sweep.left):
                await self._go_on(sweep, KINDS[name])
            if within is not None and time.monotonic() - began_at >= within.total_seconds():
                break
            if sweep.left:
                await asyncio.sleep(PAUSE)
        turn = Turn(
            +sweep.deleted,
            time.monotonic() - began_at,
            is_over=not sweep.left,
            failed=sweep.failed,
            elsewhere=sweep.elsewhere,
        )
        if turn.deleted:
            logger.info("retention.deleted", seconds=round(turn.seconds, 2), **turn.deleted)
        if sweep.left:
            logger.info("retention.goes_on", kinds=list(sweep.left), hint="The next turn goes on from here.")
        return turn

    async def _go_on(self, sweep: _Sweep, kind: Kind) -> None:
        try:
            batch = await self.batch(kind)
        except REFUSED as error:
            sweep.refuse(kind.name, str(error))
            logger.exception("retention.kind_failed", kind=kind.name)
            return
        self.deleted[kind.name] += batch.deleted
        sweep.note(kind.name, batch)

    async def batch(self, kind: Kind) -> Batch:
        """Delete one batch and move the mark, in one transaction. Nothing where another host is at it right now."""
        async with self._database.transaction() as connection:
            lock = {"space": _LOCK_SPACE, "number": lock_number(kind.name)}
            ((is_alone,),) = await fetch_within(connection, RETENTION_LOCK, lock)
            if not is_alone:
                return Batch(0, None, None, is_over=False, is_elsewhere=True)
            marks = await fetch_within(connection, RETENTION_MARK, {"kind": kind.name})
            if not marks:
                return Batch(0, None, None, is_over=True)  # nobody has taken a turn of it yet
            *stored, now = marks[0]
            mark = Mark(*stored).begun(kind, now=now)
            limit = conf.retention_batch()
            batch = await delete_batch(
                connection, kind, after=mark.cursor, now=now, limit=limit, steps=limit * STEPS_PER_ROW
            )
            moved = asdict(mark.moved(batch))
            await fetch_within(connection, RETENTION_MOVED, {"kind": kind.name, "deleted": batch.deleted, **moved})
        return batch

    async def preview(self, names: Iterable[str]) -> Counter[str]:
        """How many rows a whole lap would delete now. It deletes them batch by batch and takes each back: what stands
        in the way of a row is told by nothing else so exactly."""
        found: Counter[str] = Counter()
        for name in names:
            kind, after, is_over = KINDS[name], KINDS[name].first, False
            while not is_over:
                async with self._database.transaction() as connection:
                    ((now,),) = await fetch_within(connection, b"SELECT now()")
                    batch = await delete_batch(connection, kind, after=after, now=now, limit=PREVIEWED, steps=ALL_STEPS)
                    found[name] += batch.deleted
                    is_over = batch.is_over or batch.last is None
                    after = after if batch.last is None else kind.behind(batch.last)
                    raise psycopg.Rollback
        return found


def _week_of(instant: datetime) -> int:
    return (instant - _EPOCH) // WHOLE_LAP_EVERY


def lock_number(name: str) -> int:
    """The second half of the advisory lock of a kind."""
    return zlib.crc32(name.encode()) - 2**31


def mortal_kinds() -> list[str]:
    """The kinds of which anything is ever deleted."""
    return [kind.name for kind in KINDS.values() if not kind.is_kept_for_ever]


async def delete_batch(
    connection: psycopg.AsyncConnection[Row], kind: Kind, *, after: str, now: datetime, limit: int, steps: int
) -> Batch:
    """One batch of a kind from `after` on. Requires an open transaction."""
    age = kind.keep() if kind.keep is not None else timedelta(0)
    parameters: dict[str, Any] = {
        "after": after,
        "before": first_id_at(now - age),
        "made_before": first_id_at(now - age + CLOCKS_APART),
        "age": age,
        "states": Texts(kind.states),
        "limit": limit,
        "look": limit * LOOK_PER_ROW,
    }
    if kind.lock is not None:
        parameters["locked"] = Texts([key for (key,) in await fetch_within(connection, kind.lock, parameters)])
    (row,) = await fetch_within(connection, kind.statement, parameters)
    if not kind.finds_runs:
        return Batch(*row)
    run_ids, last, kept, is_over = row
    found = Batch(0, last, kept, is_over)
    return await _delete_runs(connection, kind, run_ids, found, after=after, steps=steps) if run_ids else found


async def _delete_runs(
    connection: psycopg.AsyncConnection[Row], kind: Kind, run_ids: list[UUID], found: Batch, *, after: str, steps: int
) -> Batch:
    ((gone, left_over),) = await fetch_within(connection, DELETE_RUNS, {"run_ids": Uuids(run_ids), "steps": steps})
    stayed = sorted(set(run_ids) - set(gone))
    kept = min(filter(None, (found.kept, *map(str, stayed[:1]))), default=None)
    batch = replace(found, deleted=len(gone), kept=kept)
    if left_over and gone:
        return replace(batch, last=after, is_over=False)  # the journals of these were enough for one statement
    if not gone and not found.is_over and found.last is not None:
        # All of a full batch stays: step past it, or it would be found again and again.
        return replace(batch, last=kind.behind(found.last))
    return batch
