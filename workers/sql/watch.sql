/* ordinaut: watch */
-- Purpose: which of the runs that a process holds are to stop, and (by their absence) which it has lost.
-- Index: primary key. Locks: none.
SELECT work.run_id, work.lease_epoch, work.cancel_requested_at IS NOT NULL
FROM scheduling_duework work
WHERE work.run_id = ANY(%(run_ids)s::uuid[]) AND work.lease_owner = %(boot_id)s
