/* ordinaut: prune_misses */
-- Purpose: delete records of missed occurrences of a certain age that their schedule has been accounted for (as in
-- delete_runs). Rows are in the order of their writing, so the walk stands still at the first that is too young.
-- Index: primary key. Locks: the rows it deletes.
WITH page AS MATERIALIZED (
    SELECT miss.id, miss.schedule_id, miss.last_at, miss.recorded_at < now() - %(age)s::interval AS is_old
    FROM scheduling_miss miss
    WHERE miss.id >= %(after)s::text::bigint
    ORDER BY miss.id
    LIMIT %(look)s
), young AS MATERIALIZED (
    SELECT id FROM page WHERE NOT is_old ORDER BY page.id LIMIT 1
), old AS MATERIALIZED (
    SELECT page.id
    FROM page
    WHERE page.is_old AND page.id < COALESCE((SELECT id FROM young), page.id + 1)
      AND NOT EXISTS (
          SELECT FROM scheduling_schedule schedule
          WHERE schedule.id = page.schedule_id
            AND page.last_at > COALESCE(schedule.accounted_until, GREATEST(schedule.created_at, schedule.updated_at))
      )
    ORDER BY page.id
    LIMIT %(limit)s
), gone AS (
    DELETE FROM scheduling_miss miss WHERE miss.id = ANY(ARRAY(SELECT id FROM old))
    RETURNING miss.id
)
SELECT
    (SELECT count(*) FROM gone),
    CASE
        WHEN (SELECT count(*) FROM old) = %(limit)s THEN (SELECT max(id)::text FROM old)
        ELSE COALESCE((SELECT id::text FROM young), (SELECT max(id)::text FROM page))
    END,
    (SELECT min(id)::text FROM page WHERE id NOT IN (SELECT id FROM old)),
    ((SELECT count(*) FROM page) < %(look)s OR EXISTS (SELECT FROM young))
        AND (SELECT count(*) FROM old) < %(limit)s
