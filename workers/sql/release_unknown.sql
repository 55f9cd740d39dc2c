/* ordinaut: release_unknown */
-- Purpose: let go what a claim has leased whose answer was lost: leases of this process that it knows nothing of.
-- A run that was parked keeps its deadline.
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
    deadline_at = CASE WHEN run.state = 'waiting' THEN work.deadline_at END,
    gate = CASE WHEN work.is_suspect THEN 'suspect' WHEN work.concurrency_key IS NOT NULL THEN 'key' END
FROM held
LEFT JOIN scheduling_run run ON run.id = held.run_id
WHERE work.run_id = held.run_id
RETURNING work.run_id
