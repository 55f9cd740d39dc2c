/* ordinaut: see_suspect */
-- Purpose: whether there is a suspect for a process all of whose slots are busy, so that it keeps the next free one.
-- Index: due_work_gate_idx, on the few rows behind the gate. Locks: none.
SELECT EXISTS (
    SELECT FROM scheduling_duework work
    WHERE work.gate = 'suspect' AND work.available_at <= now() AND work.queue = ANY(%(queues)s::text[])
      AND work.queue <> ALL (ARRAY(
          SELECT operated.name::text
          FROM scheduling_queue operated
          WHERE operated.paused_at IS NOT NULL AND COALESCE(operated.paused_until > now(), true)
      ))
)
