/* ordinaut: overdue */
-- Purpose: runs whose time has been over for a while and whose process, though it beats, has not ended them.
-- Index: none, one pass over the queue; run rarely. Locks: none.
SELECT work.run_id, work.lease_owner, work.deadline_at
FROM scheduling_duework work
WHERE work.lease_owner IS NOT NULL AND work.deadline_at < now() - %(margin)s::interval
ORDER BY work.run_id
LIMIT 1000
