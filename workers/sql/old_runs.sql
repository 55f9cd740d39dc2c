/* ordinaut: old_runs */
-- Purpose: of the next "look" runs made before an instant, those that ended in one of some states longer ago than their
-- age: the ids, how far was looked, the first run passed over, and whether nothing is left to look at.
-- Index: primary key, whose UUIDv7 begins with the time of making: no index by state or age is paid for by every run.
-- A page is read whether or not anything in it is old, and the next begins behind it. Locks: none.
WITH page AS MATERIALIZED (
    SELECT run.id, run.task_id, run.state, run.finished_at
    FROM scheduling_run run
    WHERE run.id >= %(after)s::text::uuid AND run.id < %(before)s::uuid
    ORDER BY run.id
    LIMIT %(look)s
), old AS MATERIALIZED (
    SELECT page.id
    FROM page
    WHERE page.state = ANY(%(states)s::text[])
      AND page.finished_at < now() - COALESCE(
          (SELECT task.keep_for FROM scheduling_task task WHERE task.id = page.task_id), %(age)s::interval
      )
    ORDER BY page.id
    LIMIT %(limit)s
)
SELECT
    ARRAY(SELECT id FROM old ORDER BY id),
    CASE
        WHEN (SELECT count(*) FROM old) = %(limit)s THEN (SELECT id::text FROM old ORDER BY id DESC LIMIT 1)
        ELSE (SELECT id::text FROM page ORDER BY id DESC LIMIT 1)
    END,
    (SELECT id::text FROM page WHERE id NOT IN (SELECT id FROM old) ORDER BY page.id LIMIT 1),
    (SELECT count(*) FROM page) < %(look)s AND (SELECT count(*) FROM old) < %(limit)s
