/* ordinaut: declare_lost */
-- Purpose: declare a process dead whose beat a reaper has seen standing still. A beat that came in between, or another
-- reaper, makes this change nothing. Index: primary key. Locks: the worker's row.
UPDATE workers_worker
SET state = 'lost', stopped_at = now(), running_count = 0, doing = NULL, state_reason = %(reason)s
WHERE boot_id = %(boot_id)s AND beat_number = %(beat_number)s AND state IN ('running', 'draining')
RETURNING boot_id
