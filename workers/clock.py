"""Clocks of a worker: the database's for what is written, the host's boot time for what must not be believed."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

TOLERANCE = timedelta(milliseconds=100)
WARNING = timedelta(seconds=1)


def boottime() -> float:
    """Seconds since the host booted, its sleep included: a monotonic clock stops while the host does, and a process
    that slept with it would think its leases fresh."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class DatabaseClock:
    """The database's clock, carried on between claims by the monotonic one. The `Clock` port of the engine."""

    def __init__(self) -> None:
        self._at = datetime.now(UTC)
        self._read_at = time.monotonic()

    def now(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._read_at)

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.sleep(max(0.0, delay.total_seconds()))

    def set(self, database_now: datetime) -> None:
        """Take over what the database just said. Small differences are the way of the answer, and left alone."""
        if abs(self.now() - database_now) > TOLERANCE:
            self._at = database_now.astimezone(UTC)
            self._read_at = time.monotonic()

    def skew(self) -> timedelta:
        """This host's clock less the database's."""
        return datetime.now(UTC) - self.now()
