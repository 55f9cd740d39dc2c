/* ordinaut: fair_heads */
-- Purpose: the next agents of a fair queue after the one that was served last, with each of their priorities and the
-- due time at its head; once around at most, and at most 64 agents. Nothing where the queue is paused, or has a rate and
-- no tokens were taken for it.
-- Index: due_work_fair_idx, walked from one (agent, priority) to the next (a loose scan): one probe each, however many
-- rows they have. Locks: none.
WITH RECURSIVE walk (lap, agent_id, priority, available_at, agents) AS (
    SELECT 0, %(after)s::uuid, 32767::smallint, NULL::timestamptz, 0
    WHERE NOT EXISTS (
        SELECT FROM scheduling_queue operated
        WHERE operated.name = %(queue)s
          AND ((operated.paused_at IS NOT NULL AND COALESCE(operated.paused_until > now(), true))
            OR (operated.rate_limit IS NOT NULL AND operated.name <> ALL (%(metered)s::text[])))
    )
    UNION ALL
    SELECT next.lap, next.agent_id, next.priority, next.available_at,
        walk.agents + CASE WHEN next.agent_id = walk.agent_id AND walk.agents > 0 THEN 0 ELSE 1 END
    FROM walk
    CROSS JOIN LATERAL (
        (
            SELECT walk.lap, work.agent_id, work.priority, work.available_at
            FROM scheduling_duework work
            WHERE work.queue = %(queue)s AND work.agent_id IS NOT NULL
              AND (work.agent_id, work.priority) > (walk.agent_id, walk.priority)
              AND work.lease_owner IS NULL AND work.gate IS NULL
            ORDER BY work.agent_id, work.priority, work.available_at, work.run_id
            LIMIT 1
        )
        UNION ALL
        (
            SELECT 1, work.agent_id, work.priority, work.available_at
            FROM scheduling_duework work
            WHERE walk.lap = 0
              AND work.queue = %(queue)s AND work.agent_id IS NOT NULL
              AND work.lease_owner IS NULL AND work.gate IS NULL
            ORDER BY work.agent_id, work.priority, work.available_at, work.run_id
            LIMIT 1
        )
        LIMIT 1
    ) AS next
    WHERE (next.lap = 0 OR next.agent_id <= %(after)s::uuid)
      AND walk.agents + CASE WHEN next.agent_id = walk.agent_id AND walk.agents > 0 THEN 0 ELSE 1 END <= 64
)
SELECT walk.agent_id, walk.priority, walk.available_at, walk.available_at <= now() FROM walk WHERE walk.agents > 0
