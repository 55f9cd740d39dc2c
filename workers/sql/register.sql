/* ordinaut: register */
-- Purpose: make a process known before its first claim. Repeating it changes nothing. Locks: its own row.
INSERT INTO workers_worker (
    boot_id, supervisor_id, host, pid, release, queues, slots, running_count, state, beat_number, last_error
)
VALUES (
    %(boot_id)s, %(supervisor_id)s, %(host)s, %(pid)s, %(release)s, %(queues)s, %(slots)s, 0, 'running', 0, ''
)
ON CONFLICT (boot_id) DO NOTHING
