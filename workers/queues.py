"""What waits in the queues."""

from dataclasses import dataclass

from django.db import connection

# Purpose: what each queue holds. Index: none, the queue is small; asked by people and by the metrics.
_QUEUES = """
SELECT queue,
       count(*) FILTER (WHERE lease_owner IS NULL AND gate IS NULL AND available_at <= now()),
       count(*) FILTER (WHERE lease_owner IS NULL AND gate IS NULL AND available_at > now()),
       count(*) FILTER (WHERE gate IS NOT NULL),
       count(*) FILTER (WHERE lease_owner IS NOT NULL),
       EXTRACT(EPOCH FROM now() - min(available_at) FILTER (
           WHERE lease_owner IS NULL AND gate IS NULL AND available_at <= now()
       ))::float
FROM scheduling_duework
GROUP BY queue
ORDER BY queue
"""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One queue. `due` may be claimed now, `sleeping` later, `gated` not yet, `running` is held by workers.

    `oldest_due_seconds` is how long the oldest claimable row has been waiting, None where none is.
    """

    queue: str
    due: int
    sleeping: int
    gated: int
    running: int
    oldest_due_seconds: float | None


def queue_depths() -> list[QueueDepth]:
    """Every queue that holds something, by name."""
    with connection.cursor() as cursor:
        cursor.execute(_QUEUES)
        return [QueueDepth(*row) for row in cursor.fetchall()]
