/* ordinaut: held_back */
-- Purpose: the exclusive tasks and the concurrency keys that have somebody waiting who is due, for the sweep.
-- Index: due_work_exclusive_idx and due_work_key_waiting_idx are walked from value to value (a loose scan), so that a
-- hundred thousand rows behind one gate cost one probe, and keys that nobody waits for none. Locks: none.
WITH RECURSIVE task (id) AS (
    (SELECT task_id FROM scheduling_duework WHERE is_exclusive ORDER BY task_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT work.task_id FROM scheduling_duework work
        WHERE work.is_exclusive AND work.task_id > task.id
        ORDER BY work.task_id LIMIT 1
    )
    FROM task WHERE task.id IS NOT NULL
), key (key) AS (
    (SELECT concurrency_key FROM scheduling_duework WHERE gate = 'key' ORDER BY concurrency_key LIMIT 1)
    UNION ALL
    SELECT (
        SELECT work.concurrency_key FROM scheduling_duework work
        WHERE work.gate = 'key' AND work.concurrency_key > key.key
        ORDER BY work.concurrency_key LIMIT 1
    )
    FROM key WHERE key.key IS NOT NULL
)
SELECT task.id, NULL::text
FROM task
WHERE EXISTS (
    SELECT FROM scheduling_duework held WHERE held.is_exclusive AND held.task_id = task.id AND held.gate = 'overlap'
) AND (
    -- What a pause holds waits for its end, what was started since by hand does not.
    SELECT paused.paused_at FROM scheduling_task paused WHERE paused.id = task.id AND paused.state = 'paused'
) IS NULL OR EXISTS (
    SELECT FROM scheduling_task paused
    JOIN scheduling_duework held ON held.is_exclusive AND held.task_id = paused.id AND held.gate = 'overlap'
    JOIN scheduling_run run ON run.id = held.run_id
    WHERE paused.id = task.id AND paused.state = 'paused' AND run.created_at >= paused.paused_at
)
UNION ALL
SELECT NULL::uuid, key.key::text
FROM key
WHERE key.key IS NOT NULL AND EXISTS (
    SELECT FROM generate_series(1, 9) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT FROM scheduling_duework waiting
        WHERE waiting.gate = 'key' AND waiting.concurrency_key = key.key AND waiting.priority = level.priority
          AND waiting.available_at <= now()
        ORDER BY waiting.available_at, waiting.run_id  -- or the planner reads the table from its beginning
        LIMIT 1
    ) AS due
)
