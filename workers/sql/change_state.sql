/* ordinaut: change_state */
-- Purpose: a process drains or has stopped in order, and why. A reason that somebody else has given (a person who drains
-- it, its supervisor that replaces it) stands. One that was declared lost stays lost. Locks: its row.
UPDATE workers_worker
SET state = %(state)s::text,
    state_reason = CASE
        WHEN state_reason IN ('', %(by_signal)s::text) THEN %(reason)s::text
        ELSE state_reason
    END,
    running_count = CASE WHEN %(state)s::text = 'stopped' THEN 0 ELSE running_count END,
    doing = CASE WHEN %(state)s::text = 'stopped' THEN NULL ELSE doing END,
    stopped_at = CASE WHEN %(state)s::text = 'stopped' THEN now() END
WHERE boot_id = %(boot_id)s AND state IN ('running', 'draining')
