/* ordinaut: stray_owners */
-- Purpose: processes that hold leases and are not among the living: dead ones whose hand-over was cut off, and boot
-- ids that nobody knows. Index: none, one pass over the queue; run rarely. Locks: none.
SELECT DISTINCT work.lease_owner
FROM scheduling_duework work
WHERE work.lease_owner IS NOT NULL AND NOT EXISTS (
    SELECT FROM workers_worker worker
    WHERE worker.boot_id = work.lease_owner AND worker.state IN ('running', 'draining')
)
