/* ordinaut: queue_controls */
-- Purpose: how the queues of a process are operated: rate, fairness, weight. A queue that is fair no more counts as fair
-- while rows of it stand in the fair index, so that what was admitted during the change is claimed too.
-- Index: primary key; one probe of due_work_fair_idx a queue. Locks: none.
SELECT asked.name, queue.rate_limit IS NOT NULL,
    COALESCE(queue.is_fair, false) OR (
        -- Ordered as the index is: a bare EXISTS was planned as a pass over the whole queue.
        SELECT work.run_id
        FROM scheduling_duework work
        WHERE work.queue = asked.name AND work.agent_id IS NOT NULL
          AND work.lease_owner IS NULL AND work.gate IS NULL
        ORDER BY work.agent_id, work.priority, work.available_at, work.run_id
        LIMIT 1
    ) IS NOT NULL,
    COALESCE(queue.weight, 1)
FROM unnest(%(queues)s::text[]) AS asked (name)
LEFT JOIN scheduling_queue queue ON queue.name = asked.name
