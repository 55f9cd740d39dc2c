/* ordinaut: surplus_runs */
-- Purpose: ended runs of tasks that keep fewer than the settings say: all but the newest "keep_runs" of the task, and
-- those older than its "keep_for". The same columns as old_runs. The walk goes over the tasks, and over the runs of each:
-- its place is a task, or a task and a run of it, "task/run".
-- Which are the newest the database's clock says, by which runs were made, and not their ids, which hosts make by theirs.
-- The ids are nearly in that order. So of a task's "keep_runs" + "limit" newest ids the run is found that is the last to
-- stay: of all runs no fewer are newer than it than of these. Whatever the clocks of hosts, nothing newer goes.
-- Index: task_keeps_idx for the few tasks that say so; run_task_idx from a task's newest run back, and from its oldest on.
-- Locks: none.
WITH place AS MATERIALIZED (
    SELECT
        split_part(%(after)s::text, '/', 1)::uuid AS task_id,
        COALESCE(NULLIF(split_part(%(after)s::text, '/', 2), ''), '00000000-0000-0000-0000-000000000000')::uuid AS run_id
), page AS MATERIALIZED (
    SELECT
        task.id, task.keep_runs, task.keep_for,
        CASE
            WHEN task.id = (SELECT task_id FROM place) THEN (SELECT run_id FROM place)
            ELSE '00000000-0000-0000-0000-000000000000'
        END AS first_run_id
    FROM scheduling_task task
    WHERE task.id >= (SELECT task_id FROM place) AND (task.keep_runs IS NOT NULL OR task.keep_for IS NOT NULL)
    ORDER BY task.id
    LIMIT %(look)s / 50 + 2
), old AS MATERIALIZED (
    SELECT page.id AS task_id, surplus.id
    FROM page
    CROSS JOIN LATERAL (
        SELECT
            max(made.created_at) FILTER (WHERE made.place = page.keep_runs) AS created_at,
            (max(made.id::text) FILTER (WHERE made.place = page.keep_runs))::uuid AS id,
            (max(made.id::text) FILTER (WHERE made.place > page.keep_runs))::uuid AS greatest_beyond
        FROM (
            SELECT
                newest.id, newest.created_at,
                row_number() OVER (ORDER BY newest.created_at DESC, newest.id DESC) AS place
            FROM (
                SELECT run.id, run.created_at
                FROM scheduling_run run
                WHERE run.task_id = page.id AND page.keep_runs IS NOT NULL
                ORDER BY run.id DESC
                LIMIT page.keep_runs + %(limit)s
            ) AS newest
        ) AS made
    ) AS last_kept
    CROSS JOIN LATERAL (
        -- The least UUIDv7 of that millisecond: see scheduling.ids.
        SELECT (
            lpad(to_hex(floor(extract(epoch FROM now() - page.keep_for) * 1000)::bigint), 12, '0')
            || '70008000000000000000'
        )::uuid AS id
    ) AS by_age
    CROSS JOIN LATERAL (
        SELECT run.id
        FROM scheduling_run run
        WHERE run.task_id = page.id AND run.id >= page.first_run_id
          AND run.id <= GREATEST(last_kept.greatest_beyond, by_age.id)
          AND run.state IN ('succeeded', 'failed', 'canceled', 'skipped', 'missed')
          AND (
              (run.created_at, run.id) < (last_kept.created_at, last_kept.id)
              OR run.finished_at < now() - page.keep_for
          )
        ORDER BY run.id
        LIMIT %(limit)s
    ) AS surplus
    ORDER BY page.id, surplus.id
    LIMIT %(limit)s
)
SELECT
    ARRAY(SELECT id FROM old ORDER BY id),
    CASE
        WHEN (SELECT count(*) FROM old) = %(limit)s
        THEN (SELECT task_id || '/' || id FROM old ORDER BY old.task_id DESC, old.id DESC LIMIT 1)
        ELSE (SELECT max(id::text) FROM page)
    END,
    (SELECT min(id::text) FROM page),
    (SELECT count(*) FROM page) < %(look)s / 50 + 2 AND (SELECT count(*) FROM old) < %(limit)s
