/* ordinaut: claim_suspect */
-- Purpose: lease one run whose last worker died. A process asks only while it holds none, so that the next death has
-- one suspect at most. Paused queues are left out, and those with a rate unless tokens were taken for them.
-- Index: due_work_gate_idx, on the few rows behind the gate. Locks: the row it takes (SKIP LOCKED).
WITH picked AS MATERIALIZED (
    SELECT work.run_id
    FROM scheduling_duework work
    WHERE work.gate = 'suspect' AND work.available_at <= now() AND work.queue = ANY(%(queues)s::text[])
      AND work.queue <> ALL (ARRAY(
          SELECT operated.name::text
          FROM scheduling_queue operated
          WHERE (operated.paused_at IS NOT NULL AND COALESCE(operated.paused_until > now(), true))
             OR (operated.rate_limit IS NOT NULL AND operated.name <> ALL (%(metered)s::text[]))
      ))
    ORDER BY work.available_at, work.run_id
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE scheduling_duework work
SET gate = NULL,
    lease_owner = %(boot_id)s,
    lease_epoch = (SELECT nextval('scheduling_lease_epoch')),
    claimed_at = now(),
    started_at = COALESCE(work.started_at, run.started_at, now()),
    claim_count = work.claim_count + 1,
    deadline_at = COALESCE(work.deadline_at, now() + task.timeout)
FROM picked
LEFT JOIN scheduling_run run ON run.id = picked.run_id
LEFT JOIN scheduling_task task ON task.id = run.task_id
WHERE work.run_id = picked.run_id
RETURNING work.run_id, work.task_id, run.revision_id, run.agent_id, work.lease_epoch, work.attempt, work.claim_count,
    work.handback_count, work.queue, work.priority, work.available_at, work.started_at, work.deadline_at,
    work.is_suspect, work.is_exclusive, work.concurrency_key, work.cancel_requested_at IS NOT NULL,
    run.params, run.simulated, run.scheduled_for, run.trigger_kind, run.state = 'waiting', run.started_at IS NOT NULL,
    task.version, run.event_id, work.redriven_at, task.state = 'paused' AND run.created_at < task.paused_at,
    clock_timestamp()
