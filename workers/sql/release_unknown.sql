/* ordinaut: release_unknown */
-- Purpose: let go what a claim has leased whose answer was lost: leases of this process that it knows nothing of.
-- Index: none, one pass over the queue after an outage. Locks: the rows it releases.
WITH held AS MATERIALIZED (
    SELECT work.run_id
    FROM scheduling_duework work
    WHERE work.lease_owner = %(boot_id)s AND work.run_id <> ALL(%(run_ids)s::uuid[])
    ORDER BY work.run_id
    FOR NO KEY UPDATE
)
UPDATE scheduling_duework work
SET lease_owner = NULL,
    claimed_at = NULL,
    deadline_at = NULL,
    gate = CASE WHEN work.is_suspect THEN 'suspect' WHEN work.concurrency_key IS NOT NULL THEN 'key' END
FROM held
WHERE work.run_id = held.run_id
RETURNING work.run_id
