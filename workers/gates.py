"""Opening the gates of held runs: after a run has ended or gone back to sleep, and by a sweep.

Admission is an operation of scheduling on Django's connection, which blocks; it runs in one thread of its own, and
what is asked for while it works is done together afterwards.
"""

import asyncio
from collections.abc import Iterable
from uuid import UUID

import structlog
from django.db import Error, close_old_connections, connection, transaction

from scheduling.runs.gates import release_gated
from workers import conf
from workers.connection import LIMIT_OF_SILENCE, DatabaseUnavailable
from workers.daemon_thread import DaemonThread
from workers.points import reaching
from workers.statements import HELD_BACK

logger = structlog.get_logger(__name__)

_WAITS_FOR_LOCKS = "250ms"


class GateKeeper:
    """Asks for admissions without making anybody wait. For one event loop; `close()` it."""

    def __init__(self) -> None:
        self._thread = DaemonThread("gates")
        self._tasks: set[UUID] = set()
        self._keys: set[str] = set()
        self._work: asyncio.Task[None] | None = None

    def release(self, *, task_id: UUID | None = None, key: str | None = None) -> None:
        """Have the gates of a task, of a key, or of both looked at soon. What fails is left to the sweep."""
        if task_id is not None:
            self._tasks.add(task_id)
        if key is not None:
            self._keys.add(key)
        if (self._tasks or self._keys) and (self._work is None or self._work.done()):
            self._work = asyncio.get_running_loop().create_task(self._release_all())

    async def sweep(self) -> int:
        """Look at every gate that somebody waits behind; return how many runs were admitted. Raises
        DatabaseUnavailable."""
        return await self._thread.run(_sweep)

    async def close(self) -> None:
        """Finish what was asked for and end the thread."""
        if self._work is not None:
            await self._work
        await self._thread.run(_close_connection)
        self._thread.end()

    async def _release_all(self) -> None:
        while self._tasks or self._keys:
            tasks, self._tasks = self._tasks, set()
            keys, self._keys = self._keys, set()
            await self._thread.run(_guarded_release, tasks, keys)


def sweep_gates() -> int:
    """Admit whoever has room, whatever announcement was lost; return how many. Opens its own transactions."""
    with connection.cursor() as cursor:
        cursor.execute(HELD_BACK.decode())
        rows = cursor.fetchall()
    tasks, keys = {task for task, _ in rows if task is not None}, {key for _, key in rows if key is not None}
    return _release(tasks, keys, skips_locked=True)


def _release(tasks: Iterable[UUID], keys: Iterable[str], *, skips_locked: bool = False) -> int:
    """The sweep passes over what is locked, and comes again. After the end of a run the lock is waited for, but not for
    long: whoever holds one task must not hold up the others."""
    with connection.execute_wrapper(reaching), transaction.atomic(), connection.cursor() as cursor:
        # A process that stands still in the middle of this must not keep tasks and keys locked.
        cursor.execute(LIMIT_OF_SILENCE, [f"{conf.abort_after().total_seconds():.3f}s"])
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_WAITS_FOR_LOCKS])
        return release_gated(cursor, task_ids=tasks, keys=keys, skips_locked=skips_locked)


def _guarded_release(tasks: set[UUID], keys: set[str]) -> None:
    close_old_connections()
    try:
        _release(tasks, keys)
    except Error as error:
        logger.warning("gates.left_to_the_sweep", detail=str(error).strip())
        connection.close()


def _sweep() -> int:
    close_old_connections()
    try:
        return sweep_gates()
    except Error as error:
        connection.close()
        raise DatabaseUnavailable(str(error).strip()) from error


def _close_connection() -> None:
    """The thread's own: the name means another connection in each thread."""
    connection.close()
