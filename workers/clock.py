"""Clocks of a worker: the database's for what is written, the host's boot time for what must not be believed."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

WARNING = timedelta(seconds=1)
_FORGET_AFTER = 60.0  # seconds
_STEP = 1.0  # seconds


class DatabaseClock:
    """The database's clock, carried on between answers by the monotonic one. The `Clock` port of the engine.

    An answer is always older than its arrival, so of several readings the one furthest ahead is the best. It is
    forgotten after a minute, so that clocks may drift, and at once when the database's clock was set back.
    """

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()
        self._read_at: float | None = None

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.monotonic() + self._ahead, UTC)

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.sleep(max(0.0, delay.total_seconds()))

    def set(self, database_now: datetime) -> None:
        """Take in what the database just said."""
        read_at = time.monotonic()
        ahead = database_now.timestamp() - read_at
        is_stale = self._read_at is None or read_at - self._read_at > _FORGET_AFTER
        if is_stale or ahead > self._ahead or self._ahead - ahead > _STEP:
            self._ahead = ahead
            self._read_at = read_at

    def skew(self) -> timedelta:
        """This host's clock less the database's."""
        return datetime.now(UTC) - self.now()
