"""Gates: due work that may not be claimed yet, and what opens it.

A gated row is outside of the claim's index, so that a hundred thousand blocked rows cost a claim nothing. `overlap`
opens when no other run of the task is live, `key` when its concurrency key has room; a row that waits for both passes
`overlap` first. (`paused` is opened by resuming the task, `suspect` by a worker that tries the run alone. A run that a
worker held when its task was paused, and that it put back, is found by the next claim, which holds it back: see
`hold_back.sql`.)

What holds a key is read from the live rows (`gate` NULL or `suspect`), never from a counter that could leak. A keyed
row that is put back to sleep by a retry, a park or a hand-back goes back behind its `key` gate, so that a sleeper
holds no room; it keeps counting as a live run of its task.

Lock order everywhere: tasks by id, then concurrency keys by name, then due work by run id. Locks are taken by one
statement and the decision is made by the next: in one, the snapshot would be older than the lock, and a limit of 3
was exceeded 158 times when that was tried.

A key with a rate has a bucket of tokens besides (see `scheduling.queues`): an admission takes one. It is filled up to
the instant at which the key's lock was granted, not to the beginning of the transaction, which may have waited.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from scheduling.wakeup import DUE_CHANNEL, after_commit

LOCK_TASKS = "SELECT id FROM scheduling_task WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"

# Purpose: let the next held run of each task go whose other runs have ended; all of them where the policy has become
# `allow`. What a backfill has queued (with the lowest priority, 9) comes last. Of a paused task only what was started
# since the pause, which is by hand: that runs all the same.
# Index: due_work_exclusive_idx, once for the live and once for the held runs of each task; the primary key for those it
# opens. Locks: the tasks are locked; the rows it opens.
#
# It must not cost more than the rows of these tasks, and the planner knows nothing about those that were written in the
# same transaction: it takes them for one, and joins each with all. So what it could choose wrongly is not its choice:
# tasks are walked one by one (subqueries that cannot be joined), what is opened is an array, and COALESCE keeps the
# index by gates, which holds the rows of all tasks, out of it.
OPEN_OVERLAP = """
WITH free AS MATERIALIZED (
    SELECT task.id, CASE WHEN task.overlap <> 'allow' THEN 1 END AS at_most,
           CASE WHEN task.state = 'paused' THEN task.paused_at END AS paused_at
    FROM scheduling_task task
    WHERE task.id = ANY(%s) AND task.state IN ('active', 'paused')
      AND (task.overlap = 'allow' OR (
          SELECT live.run_id FROM scheduling_duework live
          WHERE live.is_exclusive AND live.task_id = task.id AND COALESCE(live.gate, '') <> 'overlap'
          LIMIT 1
      ) IS NULL)
)
UPDATE scheduling_duework work
SET gate = CASE WHEN work.concurrency_key IS NOT NULL THEN 'key' END
WHERE work.run_id = ANY(ARRAY(
    SELECT next.run_id
    FROM free CROSS JOIN LATERAL (
        SELECT held.run_id FROM scheduling_duework held
        WHERE held.is_exclusive AND held.task_id = free.id AND COALESCE(held.gate, '') = 'overlap'
          AND (free.paused_at IS NULL OR (
              SELECT run.created_at FROM scheduling_run run WHERE run.id = held.run_id
          ) >= free.paused_at)
        ORDER BY held.priority = 9, held.available_at, held.run_id
        LIMIT free.at_most
    ) AS next
)) AND COALESCE(work.gate, '') = 'overlap'
RETURNING work.queue, work.concurrency_key
"""

LOCK_KEYS = "SELECT key, rate_limit FROM scheduling_concurrencykey WHERE key = ANY(%s) ORDER BY key FOR UPDATE"

# Purpose: the tokens of keys with a rate as they are now; a new bucket is full. A clock that was set back adds none.
# Index: primary key. Locks: the buckets, after their keys.
FILL_BUCKETS = """
INSERT INTO scheduling_ratebucket AS bucket (key, tokens, refilled_at)
SELECT 'key:' || key.key, key.rate_limit, clock_timestamp()
FROM scheduling_concurrencykey key
WHERE key.key = ANY(%s) AND key.rate_limit IS NOT NULL
ORDER BY key.key
ON CONFLICT (key) DO UPDATE SET
    tokens = (
        SELECT LEAST(
            key.rate_limit,
            bucket.tokens + key.rate_limit
                * GREATEST(EXTRACT(EPOCH FROM EXCLUDED.refilled_at - bucket.refilled_at), 0)
                / EXTRACT(EPOCH FROM key.rate_period)
        )
        FROM scheduling_concurrencykey key WHERE 'key:' || key.key = bucket.key
    ),
    refilled_at = EXCLUDED.refilled_at
"""

SPEND_TOKENS = """
UPDATE scheduling_ratebucket bucket SET tokens = bucket.tokens - taken.count
FROM unnest(%s::text[], %s::int[]) AS taken (key, count)
WHERE bucket.key = 'key:' || taken.key
"""

# Purpose: fill the room under each key with those that wait and are due, by priority and age; as far as there are
# tokens, where the key has a rate.
# Index: due_work_key_held_idx for the count, due_work_key_waiting_idx for one probe a priority. Locks: the keys are
# locked; the rows it opens. Rows that another transaction holds are left for the next call.
OPEN_KEYS = """
WITH room AS (
    SELECT key.key, LEAST(
        key."limit" - (
            SELECT count(*) FROM scheduling_duework held
            WHERE held.concurrency_key = key.key AND (held.gate IS NULL OR held.gate = 'suspect')
        ),
        floor(bucket.tokens)::int
    ) AS places
    FROM scheduling_concurrencykey key
    LEFT JOIN scheduling_ratebucket bucket ON bucket.key = 'key:' || key.key AND key.rate_limit IS NOT NULL
    WHERE key.key = ANY(%s)
), chosen AS (
    SELECT pick.run_id
    FROM room CROSS JOIN LATERAL (
        SELECT waiting.run_id
        FROM generate_series(1, 9) AS level (priority) CROSS JOIN LATERAL (
            SELECT due.run_id, due.available_at
            FROM scheduling_duework due
            WHERE due.gate = 'key' AND due.concurrency_key = room.key AND due.priority = level.priority
              AND due.available_at <= now()
            ORDER BY due.available_at, due.run_id
            LIMIT GREATEST(room.places, 0)
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS waiting
        ORDER BY waiting.available_at + level.priority * interval '60 seconds', waiting.run_id
        LIMIT GREATEST(room.places, 0)
    ) AS pick
)
UPDATE scheduling_duework work SET gate = NULL
WHERE work.run_id = ANY(ARRAY(SELECT run_id FROM chosen)) AND COALESCE(work.gate, '') = 'key'
RETURNING work.queue, work.concurrency_key
"""


def release_gated(
    cursor: Any, *, task_ids: Iterable[UUID] = (), keys: Iterable[str] = (), skips_locked: bool = False
) -> int:
    """Open the gates of held runs where there is room; return how many may be claimed now.

    Requires an open transaction. Call it after runs of exclusive tasks or keyed runs have ended, and from a sweep.
    `skips_locked`: tasks and keys that somebody has locked are left for another time, and hold up no other; without it
    they are waited for, because whoever has them may not have seen what has just ended.
    """
    skip = " SKIP LOCKED" if skips_locked else ""
    queues: list[str] = []
    names = set(keys)
    tasks = sorted(set(task_ids))
    if tasks:
        cursor.execute(LOCK_TASKS + skip, [tasks])
        cursor.execute(OPEN_OVERLAP, [[task for (task,) in cursor.fetchall()]])
        for queue, key in cursor.fetchall():
            if key is None:
                queues.append(queue)
            else:
                names.add(key)
    if names:
        queues.extend(_open_keys(cursor, sorted(names), skip))
    for queue in set(queues):
        after_commit(DUE_CHANNEL, queue)
    return len(queues)


def _open_keys(cursor: Any, wanted: list[str], skip: str) -> list[str]:
    """The queues of the runs that are admitted, one entry a run."""
    cursor.execute(LOCK_KEYS + skip, [wanted])
    rates = dict(cursor.fetchall())
    keys = list(rates)
    rated = [key for key, rate in rates.items() if rate is not None]
    if rated:
        cursor.execute(FILL_BUCKETS, [rated])
    cursor.execute(OPEN_KEYS, [keys])
    opened = cursor.fetchall()
    taken = Counter(key for _, key in opened)
    spent = {key: taken[key] for key in rated if taken[key]}
    if spent:
        cursor.execute(SPEND_TOKENS, [list(spent), list(spent.values())])
    return [queue for queue, _ in opened]
