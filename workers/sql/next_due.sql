/* ordinaut: next_due */
-- Purpose: how many seconds it is until the next row of some queues becomes due by itself (a retry, a snooze, a jittered
-- start): nobody will say so. NULL where none does within the horizon. Rows of fair queues, which have an agent, are
-- not looked for, nor are those of paused queues.
-- Index: due_work_claim_idx, one probe a queue and priority, which begins at now.
-- Locks: none.
SELECT EXTRACT(EPOCH FROM min(head.available_at) - clock_timestamp())::float8
FROM unnest(%(queues)s::text[], %(priorities)s::smallint[]) AS probe (queue, priority)
CROSS JOIN LATERAL (
    SELECT work.available_at
    FROM scheduling_duework work
    WHERE work.queue = probe.queue AND work.priority = probe.priority
      AND work.lease_owner IS NULL AND work.gate IS NULL AND work.agent_id IS NULL
      AND work.available_at > now() AND work.available_at <= now() + make_interval(secs => %(horizon)s)
    ORDER BY work.available_at, work.run_id
    LIMIT 1
) AS head
WHERE probe.queue <> ALL (ARRAY(
    SELECT operated.name::text
    FROM scheduling_queue operated
    WHERE operated.paused_at IS NOT NULL AND COALESCE(operated.paused_until > now(), true)
))
