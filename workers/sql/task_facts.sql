/* ordinaut: task_facts */
-- Purpose: what a run may know of its task, and how it is retried. Index: primary key. Locks: none.
SELECT id, version, title, labels, retry FROM scheduling_task WHERE id = ANY(%(ids)s::uuid[])
