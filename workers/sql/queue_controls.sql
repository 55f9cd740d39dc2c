/* ordinaut: queue_controls */
-- Purpose: how the queues of a process are operated: rate, fairness, weight. A queue that is fair no more counts as fair
-- while rows of it stand in the fair index, so that what was admitted during the change is claimed too.
-- Index: primary key; one probe of due_work_fair_idx a queue. Locks: none.
SELECT asked.name, queue.rate_limit IS NOT NULL,
    COALESCE(queue.is_fair, false) OR EXISTS (
        SELECT FROM scheduling_duework work
        WHERE work.queue = asked.name AND work.agent_id IS NOT NULL
          AND work.lease_owner IS NULL AND work.gate IS NULL
    ),
    COALESCE(queue.weight, 1)
FROM unnest(%(queues)s::text[]) AS asked (name)
LEFT JOIN scheduling_queue queue ON queue.name = asked.name
