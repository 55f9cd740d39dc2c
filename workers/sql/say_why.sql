/* ordinaut: say_why */
-- Purpose: note in a process's row why its supervisor replaces it. What a person asked for, or a loss, stands.
-- Index: primary key. Locks: its row.
UPDATE workers_worker SET state_reason = %(reason)s
WHERE boot_id = %(boot_id)s AND state <> 'lost' AND drain_requested_at IS NULL
