/* ordinaut: declare_lost */
-- Purpose: declare a process dead whose beat a reaper has seen standing still. A beat that came in between, or another
-- reaper, makes this change nothing. Returns what `workers.row_writes` reads.
-- Index: primary key. Locks: the worker's row (SKIP LOCKED).
WITH own AS MATERIALIZED (
    SELECT boot_id FROM workers_worker
    WHERE boot_id = %(boot_id)s AND beat_number = %(beat_number)s AND state IN ('running', 'draining')
    FOR NO KEY UPDATE SKIP LOCKED
), written AS (
    UPDATE workers_worker worker
    SET state = 'lost', stopped_at = now(), running_count = 0, doing = NULL, state_reason = CASE
            WHEN worker.drain_requested_at IS NULL THEN %(reason)s::text ELSE worker.state_reason || '; ' || %(reason)s::text
        END
    FROM own
    WHERE worker.boot_id = own.boot_id
)
SELECT EXISTS (SELECT FROM own), EXISTS (
    SELECT FROM workers_worker
    WHERE boot_id = %(boot_id)s AND beat_number = %(beat_number)s AND state IN ('running', 'draining')
)
