"""Rows for the workers' benchmarks: due runs by the hundred thousand, written as the clock writes them."""

from datetime import datetime, timedelta
from typing import Any

import psycopg

_TRIES = 20
ONE_STEP = b'{"version":1,"steps":[{"id":"note","set":{"done":true}}]}'

_MAKE = """
WITH task AS (
    SELECT id, agent_id, current_revision_id, queue, priority, row_number() OVER (ORDER BY id) - 1 AS place,
           count(*) OVER () AS tasks
    FROM scheduling_task
), fresh AS (
    -- A UUIDv7 of now: 48 bits of milliseconds, the version, then chance.
    SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
            || substr(md5(n::text || random()::text), 1, 3) || '8' || substr(md5(random()::text || n::text), 1, 15)
           )::uuid AS id, n
    FROM generate_series(0, %(count)s - 1) AS n
), born AS (
    INSERT INTO scheduling_run (id, task_id, revision_id, agent_id, trigger_kind, scheduled_for, state, cause,
                                skip_reason, attempt, simulated, triggered_by, created_at)
    SELECT fresh.id, task.id, task.current_revision_id, task.agent_id, 'manual',
           %(available_at)s + fresh.n * %(apart)s::interval, 'queued', '', '', 1, false, '', now()
    FROM fresh JOIN task ON task.place = fresh.n %% task.tasks
    RETURNING id, task_id, scheduled_for
)
INSERT INTO scheduling_duework (run_id, task_id, queue, priority, available_at, attempt, claim_count, handback_count,
                                death_count, is_suspect, is_exclusive, is_watched)
SELECT born.id, born.task_id, %(queue)s, %(priority)s, born.scheduled_for, 1, 0, 0, 0, false, false, false
FROM born
"""


def make_runs(
    cursor: Any,
    count: int,
    *,
    available_at: datetime,
    apart: timedelta = timedelta(0),
    queue: str = "default",
    priority: int = 5,
    batch: int = 20_000,
) -> None:
    """`count` runs over all tasks, the first due at `available_at` and each `apart` from the one before."""
    for start in range(0, count, batch):
        cursor.execute(
            _MAKE,
            {
                "count": min(batch, count - start),
                "available_at": available_at + start * apart,
                "apart": apart,
                "queue": queue,
                "priority": priority,
            },
        )


def forget_runs(cursor: Any) -> None:
    """Beside worker processes, too, whose claims lock the same tables in an order of their own: whoever is chosen in a
    deadlock tries again, and that is most often this."""
    from django.db import DatabaseError

    for _ in range(_TRIES):
        try:
            cursor.execute("TRUNCATE scheduling_run, scheduling_duework, workers_steprun")
            return
        except DatabaseError as error:
            if not isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
                raise
    raise AssertionError(f"the tables were not emptied in {_TRIES} tries: a deadlock each time")


def settle_tables(cursor: Any) -> None:
    """Statistics as autovacuum would leave them, and no checkpoint in the middle of a measurement."""
    cursor.execute("VACUUM (ANALYZE) scheduling_run, scheduling_duework, scheduling_task, workers_steprun")
    cursor.execute("CHECKPOINT")


def steps_document(steps: int) -> bytes:
    """A pipeline of so many steps, each of which calls a tool, so that each is durable on its own."""
    each = ",".join(
        f'{{"id":"step_{number}","uses":"log.write","with":{{"message":"{number}"}}}}' for number in range(steps)
    )
    return f'{{"version":1,"steps":[{each}]}}'.encode()
