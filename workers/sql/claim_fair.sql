/* ordinaut: claim_fair */
-- Purpose: lease due rows of one fair queue, one of each agent in turn until "limit" are taken. The agents and their
-- priorities come from `fair_heads`, in the order in which the agents are served; an agent's rows stream by due time
-- plus a minute a priority, as in `claim`, at most "quota" of them.
-- Index: due_work_fair_idx, one probe an agent and priority. Locks: at most "quota" rows an agent (SKIP LOCKED).
WITH heads AS MATERIALIZED (
    SELECT head.agent_id, head.priority, head.available_at, head.place
    FROM unnest(%(agents)s::uuid[], %(priorities)s::smallint[], %(instants)s::timestamptz[]) WITH ORDINALITY
        AS head (agent_id, priority, available_at, place)
), turns AS MATERIALIZED (
    SELECT heads.agent_id, min(heads.place) AS place FROM heads GROUP BY heads.agent_id
), picked AS MATERIALIZED (
    SELECT dealt.run_id
    FROM turns
    CROSS JOIN LATERAL (
        SELECT streamed.run_id, row_number() OVER () AS round
        FROM (
            SELECT heads.priority
            FROM heads
            WHERE heads.agent_id = turns.agent_id
            ORDER BY heads.available_at + heads.priority * interval '60 seconds', heads.priority
        ) AS level
        CROSS JOIN LATERAL (
            SELECT work.run_id
            FROM scheduling_duework work
            WHERE work.queue = %(queue)s AND work.agent_id = turns.agent_id AND work.priority = level.priority
              AND work.lease_owner IS NULL AND work.gate IS NULL AND work.available_at <= now()
            ORDER BY work.available_at, work.run_id
            LIMIT %(quota)s
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS streamed
        LIMIT %(quota)s
    ) AS dealt
    ORDER BY dealt.round, turns.place
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
RETURNING work.run_id, work.task_id, run.revision_id, COALESCE(run.agent_id, work.agent_id), work.lease_epoch, work.attempt, work.claim_count,
    work.handback_count, work.queue, work.priority, work.available_at, work.started_at, work.deadline_at,
    work.is_suspect, work.is_exclusive, work.concurrency_key, work.cancel_requested_at IS NOT NULL,
    run.params, run.simulated, run.scheduled_for, run.trigger_kind, run.state = 'waiting', run.started_at IS NOT NULL,
    task.version, run.event_id, work.redriven_at, task.state = 'paused' AND run.created_at < task.paused_at,
    clock_timestamp()
