/* ordinaut: surplus_runs */
-- Purpose: ended runs of tasks that keep fewer than the settings say: all but the newest "keep_runs" of the task, and
-- those older than its "keep_for". The same columns as old_runs; the walk goes over the tasks.
-- Index: task_keeps_idx for the few tasks that say so, run_task_idx from a task's oldest run on; its "keep_runs" newest
-- entries are counted. Locks: none.
WITH page AS MATERIALIZED (
    SELECT task.id, task.keep_runs, task.keep_for
    FROM scheduling_task task
    WHERE task.id >= %(after)s::text::uuid AND (task.keep_runs IS NOT NULL OR task.keep_for IS NOT NULL)
    ORDER BY task.id
    LIMIT %(look)s / 50 + 2
), old AS MATERIALIZED (
    SELECT page.id AS task_id, surplus.id
    FROM page
    CROSS JOIN LATERAL (
        SELECT
            (
                SELECT newest.id FROM scheduling_run newest
                WHERE newest.task_id = page.id AND page.keep_runs IS NOT NULL
                ORDER BY newest.id DESC
                OFFSET page.keep_runs - 1 LIMIT 1
            ) AS by_count,
            -- The least UUIDv7 of that millisecond: see scheduling.ids.
            (
                lpad(to_hex(floor(extract(epoch FROM now() - page.keep_for) * 1000)::bigint), 12, '0')
                || '70008000000000000000'
            )::uuid AS by_age
    ) AS bound
    CROSS JOIN LATERAL (
        SELECT run.id
        FROM scheduling_run run
        WHERE run.task_id = page.id AND run.id < GREATEST(bound.by_count, bound.by_age)
          AND run.state IN ('succeeded', 'failed', 'canceled', 'skipped', 'missed')
          AND (run.id < bound.by_count OR run.finished_at < now() - page.keep_for)
        ORDER BY run.id
        LIMIT %(limit)s
    ) AS surplus
    ORDER BY page.id, surplus.id
    LIMIT %(limit)s
)
SELECT
    ARRAY(SELECT id FROM old ORDER BY id),
    CASE
        WHEN (SELECT count(*) FROM old) = %(limit)s THEN (SELECT max(task_id::text) FROM old)
        ELSE (SELECT max(id::text) FROM page)
    END,
    (SELECT min(id::text) FROM page),
    (SELECT count(*) FROM page) < %(look)s / 50 + 2 AND (SELECT count(*) FROM old) < %(limit)s
