"""Dead rows of the hot tables, and who keeps VACUUM from removing them.

The queue's rows live for milliseconds. While somebody holds a snapshot, a forgotten transaction or a dead replication
slot, none of their dead versions can be removed: claims stay quick all the same, but for one a second of each process
(see `workers.floors.Floors`), while the tables grow, and everything else that reads them slows down. So the dead rows
are counted and the one to blame is named.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from django.db import connection

from workers import conf
from workers.connection import Database
from workers.statements import DEAD_TUPLES, OLDEST_SNAPSHOT

logger = structlog.get_logger(__name__)

REPEAT_LINE_EVERY = 300.0  # seconds
# Autovacuum lets a fifth of a large table die before it begins; twice that is not its ordinary course.
_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Table:
    """One hot table, as the server counts its rows."""

    name: str
    live: int
    dead: int

    @property
    def is_bloated(self) -> bool:
        return self.dead > conf.dead_tuples_warning() and self.dead > _SHARE * self.live


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the oldest snapshot. `seconds` is None for a replication slot, which does not say since when, and for a
    session of another role, of which ours may not know it; its `state` says so."""

    kind: str
    name: str
    application: str
    seconds: float | None
    state: str
    query: str

    @property
    def words(self) -> str:
        parts = [f"{self.kind} {self.name}"]
        parts += [f"of {self.application}"] if self.application else []
        parts += [f"open for {self.seconds:.0f} s"] if self.seconds is not None else []
        parts += [self.state] if self.state else []
        parts += [f"last said: {self.query}"] if self.query else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Bloat:
    """What was found at one look."""

    tables: tuple[Table, ...]
    holder: Holder | None

    @property
    def bloated(self) -> list[Table]:
        return [table for table in self.tables if table.is_bloated]

    @property
    def warning(self) -> str:
        """What an operator should know; empty while all is well."""
        if not self.bloated:
            return ""
        tables = ", ".join(f"{table.name} ({table.dead:,} dead rows)" for table in self.bloated)
        if self.holder is None:
            return f"{tables}: nobody holds them; autovacuum is behind, or off."
        return f"{tables}: VACUUM may be kept from them by {self.holder.words}."

    def as_dict(self) -> dict[str, Any]:
        """For answers in JSON."""
        return {
            "tables": [{**asdict(table), "is_bloated": table.is_bloated} for table in self.tables],
            "oldest_snapshot": None if self.holder is None else asdict(self.holder),
            "warning": self.warning,
        }


def bloat_of(tables: Sequence[Sequence[Any]], holders: Sequence[Sequence[Any]]) -> Bloat:
    """What the rows of the two statements say."""
    return Bloat(tuple(Table(*row) for row in tables), Holder(*holders[0]) if holders else None)


def read_bloat() -> Bloat:
    """Look, on Django's connection."""
    with connection.cursor() as cursor:
        cursor.execute(DEAD_TUPLES.decode())
        tables = cursor.fetchall()
        cursor.execute(OLDEST_SNAPSHOT.decode())
        return bloat_of(tables, cursor.fetchall())


def read_warning() -> str:
    """The warning alone: who holds them is asked only where there is anything to hold."""
    with connection.cursor() as cursor:
        cursor.execute(DEAD_TUPLES.decode())
        bloat = bloat_of(cursor.fetchall(), [])
    return read_bloat().warning if bloat.bloated else ""


class BloatWatch:
    """A worker host's looks. `latest` is None until the first."""

    def __init__(self) -> None:
        self.latest: Bloat | None = None
        self._told_at: float | None = None

    async def look(self, database: Database) -> None:
        """Look once; a warning is logged when it begins and every few minutes, its end once. Raises
        DatabaseUnavailable."""
        self.note(bloat_of(await database.fetch(DEAD_TUPLES), await database.fetch(OLDEST_SNAPSHOT)))

    def note(self, bloat: Bloat) -> None:
        self.latest = bloat
        now = time.monotonic()
        if bloat.warning:
            if self._told_at is None or now - self._told_at >= REPEAT_LINE_EVERY:
                self._told_at = now
                logger.warning("tables.bloated", detail=bloat.warning)
        elif self._told_at is not None:
            self._told_at = None
            logger.warning("tables.are_clean_again")
