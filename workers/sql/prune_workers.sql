/* ordinaut: prune_workers */
-- Purpose: delete the rows of worker processes that stopped, or were lost, a certain time ago and hold nothing. (A boot
-- id that is not known counts as dead: its leases would be swept, and its beats are answered by nothing.)
-- Index: none, the table has a row a process; the queue is read where there is a row to delete. Locks: those rows
-- (SKIP LOCKED).
WITH old AS MATERIALIZED (
    SELECT worker.boot_id
    FROM workers_worker worker
    WHERE worker.state IN ('stopped', 'lost') AND worker.stopped_at < now() - %(age)s::interval
    ORDER BY worker.stopped_at, worker.boot_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM workers_worker worker USING old
    WHERE worker.boot_id = old.boot_id
      AND NOT EXISTS (SELECT FROM scheduling_duework work WHERE work.lease_owner = worker.boot_id)
    RETURNING worker.boot_id
)
SELECT (SELECT count(*) FROM gone), NULL::text, NULL::text, (SELECT count(*) FROM gone) < %(limit)s
