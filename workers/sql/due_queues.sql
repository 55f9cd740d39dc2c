/* ordinaut: due_queues */
-- Purpose: which of the queues may have something to claim now, so that a claim is shared between those. Fair queues are
-- named unseen: their index cannot tell cheaply. Paused queues are not.
-- Index: due_work_claim_idx, one probe a queue and priority, as in `claim`. Locks: none.
SELECT DISTINCT probe.queue
FROM unnest(%(queues)s::text[], %(priorities)s::smallint[], %(floors)s::timestamptz[])
    AS probe (queue, priority, floor)
WHERE probe.queue <> ALL (ARRAY(
        SELECT operated.name::text
        FROM scheduling_queue operated
        WHERE operated.paused_at IS NOT NULL AND COALESCE(operated.paused_until > now(), true)
    ))
  AND (probe.queue = ANY (%(fair)s::text[]) OR EXISTS (
        SELECT FROM scheduling_duework work
        WHERE work.queue = probe.queue AND work.priority = probe.priority
          AND work.lease_owner IS NULL AND work.gate IS NULL AND work.agent_id IS NULL
          AND work.available_at >= probe.floor AND work.available_at <= now()
    ))
