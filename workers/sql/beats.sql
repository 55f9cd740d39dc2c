/* ordinaut: beats */
-- Purpose: what a reaper looks at. Locks: none.
SELECT boot_id, beat_number FROM workers_worker WHERE state IN ('running', 'draining')
