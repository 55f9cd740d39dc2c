/* ordinaut: declare_dead */
-- Purpose: the same for a process whose end its own supervisor has seen. Returns what `workers.row_writes` reads, and
-- whether somebody had asked it, or all of its host, to drain: it may not have lived to hear of it.
-- Index: primary key, worker_drains_host_idx. Locks: the worker's row (SKIP LOCKED).
WITH own AS MATERIALIZED (
    SELECT boot_id FROM workers_worker
    WHERE boot_id = %(boot_id)s AND state IN ('running', 'draining')
    FOR NO KEY UPDATE SKIP LOCKED
), written AS (
    UPDATE workers_worker worker
    SET state = 'lost', stopped_at = now(), running_count = 0, doing = NULL,
        state_reason = CASE
            WHEN worker.drain_requested_at IS NULL THEN %(reason)s::text ELSE worker.state_reason || '; ' || %(reason)s::text
        END,
        last_error = %(error)s, last_error_at = now()
    FROM own
    WHERE worker.boot_id = own.boot_id
)
SELECT EXISTS (SELECT FROM own), EXISTS (
    SELECT FROM workers_worker
    WHERE boot_id = %(boot_id)s AND state IN ('running', 'draining')
), EXISTS (
    SELECT FROM workers_worker worker
    WHERE worker.boot_id = %(boot_id)s AND (worker.drain_requested_at IS NOT NULL OR EXISTS (
        SELECT FROM workers_worker peer WHERE peer.supervisor_id = worker.supervisor_id AND peer.drains_host
    ))
)
