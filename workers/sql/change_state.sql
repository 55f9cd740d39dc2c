/* ordinaut: change_state */
-- Purpose: a process drains or has stopped in order, and why. One that was declared lost stays lost. Locks: its row.
UPDATE workers_worker
SET state = %(state)s::text,
    state_reason = CASE
        WHEN drain_requested_at IS NOT NULL AND state_reason <> '' THEN state_reason
        ELSE %(reason)s::text
    END,
    running_count = CASE WHEN %(state)s::text = 'stopped' THEN 0 ELSE running_count END,
    doing = CASE WHEN %(state)s::text = 'stopped' THEN NULL ELSE doing END,
    stopped_at = CASE WHEN %(state)s::text = 'stopped' THEN now() END
WHERE boot_id = %(boot_id)s AND state IN ('running', 'draining')
