/* ordinaut: prune_executions */
-- Purpose: delete records of housekeeping jobs of a certain age. Rows are in the order of their writing, so the walk
-- stands still at the first that is too young. Index: primary key. Locks: the rows it deletes.
WITH page AS MATERIALIZED (
    SELECT execution.id, execution.run_time < now() - %(age)s::interval AS is_old
    FROM django_apscheduler_djangojobexecution execution
    WHERE execution.id >= %(after)s::text::bigint
    ORDER BY execution.id
    LIMIT %(look)s
), young AS MATERIALIZED (
    SELECT id FROM page WHERE NOT is_old ORDER BY page.id LIMIT 1
), old AS MATERIALIZED (
    SELECT page.id
    FROM page
    WHERE page.is_old AND page.id < COALESCE((SELECT id FROM young), page.id + 1)
    ORDER BY page.id
    LIMIT %(limit)s
), gone AS (
    DELETE FROM django_apscheduler_djangojobexecution execution WHERE execution.id = ANY(ARRAY(SELECT id FROM old))
    RETURNING execution.id
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
