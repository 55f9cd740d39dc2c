/* ordinaut: claim */
-- Purpose: lease the best due rows of some queues to one process, at most "limit" of them.
-- The head of each (queue, priority) is read first; heads are ordered by due time plus a minute a priority, which is
-- how priorities hold and age; rows then stream in that order and the outer LIMIT stops the stream, so that no more
-- rows are locked than are taken. A probe begins at the floor that its process saw last (see `workers.claim`).
-- Probes of paused queues are dropped; so are those of queues with a rate, unless tokens were taken for them
-- ("metered"): a process that has not heard of a new rate yet then claims nothing, rather than too much. Rows of fair
-- queues have an agent and are not in this index. The operated queues are read once, as an array.
-- Index: due_work_claim_idx, one probe a queue and priority. Future rows are behind the probe's end.
-- Locks: the rows it takes (SKIP LOCKED: what another claims right now is passed over).
WITH heads AS MATERIALIZED (
    SELECT probe.queue, probe.priority, probe.floor, head.available_at
    FROM unnest(%(queues)s::text[], %(priorities)s::smallint[], %(floors)s::timestamptz[])
        AS probe (queue, priority, floor)
    CROSS JOIN LATERAL (
        SELECT work.available_at
        FROM scheduling_duework work
        WHERE work.queue = probe.queue AND work.priority = probe.priority
          AND work.lease_owner IS NULL AND work.gate IS NULL AND work.agent_id IS NULL
          AND work.available_at >= probe.floor AND work.available_at <= now()
        ORDER BY work.available_at, work.run_id
        LIMIT 1
    ) AS head
    WHERE probe.queue <> ALL (ARRAY(
        SELECT operated.name::text
        FROM scheduling_queue operated
        WHERE (operated.paused_at IS NOT NULL AND COALESCE(operated.paused_until > now(), true))
           OR (operated.rate_limit IS NOT NULL AND operated.name <> ALL (%(metered)s::text[]))
    ))
    ORDER BY head.available_at + probe.priority * interval '60 seconds', probe.priority, probe.queue
), picked AS MATERIALIZED (
    SELECT streamed.run_id
    FROM heads
    CROSS JOIN LATERAL (
        SELECT work.run_id
        FROM scheduling_duework work
        WHERE work.queue = heads.queue AND work.priority = heads.priority
          AND work.lease_owner IS NULL AND work.gate IS NULL AND work.agent_id IS NULL
          AND work.available_at >= heads.floor AND work.available_at <= now()
        ORDER BY work.available_at, work.run_id
        LIMIT %(limit)s
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS streamed
    LIMIT %(limit)s
)
UPDATE scheduling_duework work
SET lease_owner = %(boot_id)s,
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
