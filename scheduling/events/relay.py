"""The relay: from the outbox to the Redis stream `ordinaut:events`, at least once.

Rows are taken with SKIP LOCKED, so that any number of relays share the work, and deleted in the transaction that
followed Redis's answer. A relay that dies in between sends its rows again: the event's id in the entry tells.
"""

from typing import Any

import structlog
from django.db import connection, transaction

from scheduling.clock.metrics import OUTBOX_BACKLOG
from scheduling.redis_client import RedisUnavailableError, connected

logger = structlog.get_logger(__name__)

STREAM = "ordinaut:events"
STREAM_LENGTH = 100_000  # entries, approximately: readers that are further behind read PostgreSQL
BATCH = 500

# Purpose: the oldest events that Redis does not have. Index: primary key of the outbox. Locks: the taken rows.
_TAKE = """
SELECT outbox.id, event.id, event.topic, event.payload, event.created_at
FROM scheduling_outbox outbox JOIN scheduling_event event ON event.id = outbox.event_id
ORDER BY outbox.id
LIMIT %s
FOR UPDATE OF outbox SKIP LOCKED
"""


def relay_outbox(batch: int = BATCH) -> int:
    """Send one batch; return how many events Redis took. Redis being away is no error: the outbox keeps them."""
    try:
        sent = _relay(batch)
    except RedisUnavailableError:
        sent = 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM scheduling_outbox")
        (backlog,) = cursor.fetchone()
    OUTBOX_BACKLOG.set(backlog)
    return sent


def _relay(batch: int) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_TAKE, [batch])
        rows = cursor.fetchall()
        if not rows:
            return 0
        with connected() as client:
            pipeline = client.pipeline(transaction=False)
            for _, event_id, topic, payload, created_at in rows:
                entry: dict[Any, Any] = {
                    "id": str(event_id),
                    "topic": topic,
                    "payload": bytes(payload),
                    "at": created_at.isoformat(),
                }
                pipeline.xadd(STREAM, entry, maxlen=STREAM_LENGTH, approximate=True)
            pipeline.execute()
        cursor.execute("DELETE FROM scheduling_outbox WHERE id = ANY(%s)", [[row[0] for row in rows]])
        return len(rows)
