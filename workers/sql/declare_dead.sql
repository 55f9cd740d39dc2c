/* ordinaut: declare_dead */
-- Purpose: the same for a process whose end its own supervisor has seen. Index: primary key. Locks: the worker's row.
UPDATE workers_worker
SET state = 'lost', stopped_at = now(), running_count = 0, doing = NULL,
    state_reason = %(reason)s, last_error = %(error)s, last_error_at = now()
WHERE boot_id = %(boot_id)s AND state IN ('running', 'draining')
RETURNING boot_id
