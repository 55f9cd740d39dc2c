/* ordinaut: prune_workers */
-- Purpose: delete the rows of worker processes that stopped, or were lost, a certain time ago and hold nothing. (A boot
-- id that is not known counts as dead: its leases would be swept, and its beats are answered by nothing.)
-- Index: primary key; the table has a row a process. The queue is read where there is a row to delete. Locks: those rows
-- (SKIP LOCKED).
WITH old AS MATERIALIZED (
    SELECT worker.boot_id
    FROM workers_worker worker
    WHERE worker.boot_id >= %(after)s::text::uuid
      AND worker.state IN ('stopped', 'lost') AND worker.stopped_at < now() - %(age)s::interval
      AND worker.boot_id NOT IN (SELECT work.lease_owner FROM scheduling_duework work WHERE work.lease_owner IS NOT NULL)
    ORDER BY worker.boot_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM workers_worker worker WHERE worker.boot_id = ANY(ARRAY(SELECT boot_id FROM old))
    RETURNING worker.boot_id
)
SELECT
    (SELECT count(*) FROM gone),
    (SELECT boot_id::text FROM old ORDER BY old.boot_id DESC LIMIT 1),
    NULL::text,
    (SELECT count(*) FROM old) < %(limit)s
