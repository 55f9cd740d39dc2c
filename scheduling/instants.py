"""The database's clock, by which lateness is judged everywhere (hosts may differ by minutes), and the boot time."""

import time
from datetime import UTC, datetime

from django.db import connection


def database_now() -> datetime:
    """The instant (aware, UTC) at which the open transaction began; of this statement where none is open."""
    return _instant("SELECT now()")


def database_moment() -> datetime:
    """The present instant (aware, UTC), however long the open transaction has waited for its locks: for who judges
    rows that it has locked by the time. What others did to them before may be later than `database_now`."""
    return _instant("SELECT clock_timestamp()")


def _instant(query: str) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(query)
        row: tuple[datetime] = cursor.fetchone()
    return row[0].astimezone(UTC)


def boottime() -> float:
    """Seconds since the host booted, its sleep included: a monotonic clock stops while the host does, and a process
    that slept with it would think fresh what is old."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
