"""The floor: what PostgreSQL does for the same rows when nobody thinks, claimed and settled by two bare statements.

The same tables, indexes and durability as ours, batches of 200, a connection each for as many clients as asked, no
pipeline, no fence and no journal of what happens in between: a run's end, its step and its due work's deletion.
"""

import threading
import time
from collections.abc import Callable

import psycopg

from benchmarks.rates import Pace, pace_of

BATCH = 200

_CLAIM = """
UPDATE scheduling_duework work SET lease_owner = %s, lease_epoch = nextval('scheduling_lease_epoch'), claimed_at = now()
FROM (
    SELECT run_id FROM scheduling_duework
    WHERE queue = 'default' AND priority = 5 AND lease_owner IS NULL AND gate IS NULL AND agent_id IS NULL
      AND available_at <= now()
    ORDER BY available_at, run_id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
) AS picked
WHERE work.run_id = picked.run_id
RETURNING work.run_id
"""

_SETTLE = """
WITH gone AS (
    DELETE FROM scheduling_duework WHERE run_id = ANY(%s::uuid[]) RETURNING run_id
), stepped AS (
    INSERT INTO workers_steprun (run_id, path, attempt, run_attempt, kind, uses, state, output, output_artifact,
                                 is_simulated, is_tolerated, started_at, finished_at)
    SELECT run_id, 'note', 1, 1, 'set', '', 'succeeded', '{"done":true}'::bytea, '', false, false, now(), now()
    FROM gone
)
UPDATE scheduling_run run SET state = 'succeeded', started_at = now(), finished_at = now()
FROM gone WHERE run.id = gone.run_id
"""


def floor_pace(address: str, *, clients: int, left: Callable[[], int], total: int) -> Pace:
    """Work the due runs off by `clients` connections. The threads cost next to nothing: they wait for the server."""
    stopping = threading.Event()
    threads = [threading.Thread(target=_work, args=(address, stopping), daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        return pace_of(left, total=total, within=120)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def _work(address: str, stopping: threading.Event) -> None:
    owner = "00000000-0000-7000-8000-000000000000"
    with psycopg.connect(address, autocommit=True, prepare_threshold=0) as connection:
        cursor = connection.cursor(binary=True)
        while not stopping.is_set():
            rows = cursor.execute(_CLAIM, [owner, BATCH]).fetchall()
            if not rows:
                time.sleep(0.01)
                continue
            cursor.execute(_SETTLE, [[run_id for (run_id,) in rows]])
