/* ordinaut: say_why */
-- Purpose: note in a process's row why its supervisor replaces it. What a person asked for, or a loss, stands. Returns
-- what `workers.row_writes` reads. Index: primary key. Locks: its row (SKIP LOCKED).
WITH own AS MATERIALIZED (
    SELECT boot_id FROM workers_worker
    WHERE boot_id = %(boot_id)s AND state <> 'lost' AND drain_requested_at IS NULL
    FOR NO KEY UPDATE SKIP LOCKED
), written AS (
    UPDATE workers_worker worker
    SET state_reason = %(reason)s
    FROM own
    WHERE worker.boot_id = own.boot_id
)
SELECT EXISTS (SELECT FROM own), EXISTS (
    SELECT FROM workers_worker
    WHERE boot_id = %(boot_id)s AND state <> 'lost' AND drain_requested_at IS NULL
)
