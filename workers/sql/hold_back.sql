/* ordinaut: hold_back */
-- Purpose: put runs of paused tasks that were claimed all the same behind the gate of the pause, as if they had not
-- been claimed. A worker held them when the pause began, and has put them back to sleep since: the pause found nothing
-- to hold. The tasks are locked first, so that none is put behind a gate that its resumption has opened already; those
-- that are resumed by now go back to be claimed again.
-- Index: primary keys. Locks: the tasks, then the rows it holds back.
WITH paused AS MATERIALIZED (
    SELECT task.id FROM scheduling_task task
    WHERE task.id = ANY(%(task_ids)s::uuid[]) AND task.state = 'paused'
    ORDER BY task.id
    FOR SHARE
), held AS MATERIALIZED (
    SELECT work.run_id, paused.id IS NOT NULL AS is_paused
    FROM scheduling_duework work
    LEFT JOIN paused ON paused.id = work.task_id
    WHERE work.run_id = ANY(%(run_ids)s::uuid[]) AND work.lease_owner = %(boot_id)s
    ORDER BY work.run_id
    FOR NO KEY UPDATE OF work
)
UPDATE scheduling_duework work
SET lease_owner = NULL,
    claimed_at = NULL,
    claim_count = work.claim_count - 1,
    started_at = CASE WHEN work.claim_count > 1 THEN work.started_at ELSE run.started_at END,
    deadline_at = CASE WHEN run.state = 'waiting' THEN work.deadline_at END,
    gate = CASE
        -- As the pause does with what nobody has begun (`HOLD_PAUSED`).
        WHEN held.is_paused AND work.is_exclusive AND work.claim_count - 1 <= work.handback_count THEN 'overlap'
        WHEN held.is_paused THEN 'paused'
        WHEN work.is_suspect THEN 'suspect'
        WHEN work.concurrency_key IS NOT NULL THEN 'key'
    END
FROM held
LEFT JOIN scheduling_run run ON run.id = held.run_id
WHERE work.run_id = held.run_id
RETURNING work.run_id, work.queue, work.concurrency_key
