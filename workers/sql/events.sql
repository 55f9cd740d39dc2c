/* ordinaut: events */
-- Purpose: the events that started some runs, as their pipelines read them. Index: primary key. Locks: none.
SELECT id, topic, payload, created_at FROM scheduling_event WHERE id = ANY(%(ids)s::uuid[])
