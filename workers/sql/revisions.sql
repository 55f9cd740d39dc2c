/* ordinaut: revisions */
-- Purpose: the documents of revisions that a process has not compiled yet. Index: primary key. Locks: none.
SELECT id, document FROM scheduling_taskrevision WHERE id = ANY(%(ids)s::uuid[])
