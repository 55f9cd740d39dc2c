/* ordinaut: change_state */
-- Purpose: a process drains or has stopped in order. One that was declared lost stays lost. Locks: its row.
UPDATE workers_worker
SET state = %(state)s::text, running_count = CASE WHEN %(state)s::text = 'stopped' THEN 0 ELSE running_count END,
    stopped_at = CASE WHEN %(state)s::text = 'stopped' THEN now() END
WHERE boot_id = %(boot_id)s AND state IN ('running', 'draining')
