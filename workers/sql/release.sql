/* ordinaut: release */
-- Purpose: put leased runs back as they were before their claim, at once: those that never started, at a drain or when
-- they wait too long for a slot, and all of them at a second signal. The journal is not touched, and a run that was
-- parked keeps its deadline. Index: primary key. Locks: the rows it releases.
WITH held AS MATERIALIZED (
    SELECT work.run_id
    FROM scheduling_duework work
    WHERE work.run_id = ANY(%(run_ids)s::uuid[]) AND work.lease_owner = %(boot_id)s
    ORDER BY work.run_id
    FOR NO KEY UPDATE
)
UPDATE scheduling_duework work
SET lease_owner = NULL,
    claimed_at = NULL,
    deadline_at = CASE WHEN run.state = 'waiting' THEN work.deadline_at END,
    handback_count = work.handback_count + %(handbacks)s,
    gate = CASE WHEN work.is_suspect THEN 'suspect' WHEN work.concurrency_key IS NOT NULL THEN 'key' END
FROM held
LEFT JOIN scheduling_run run ON run.id = held.run_id
WHERE work.run_id = held.run_id
RETURNING work.run_id, work.queue, work.concurrency_key
