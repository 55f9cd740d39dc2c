/* ordinaut: beat */
-- Purpose: one beat for all processes of a host whose loops have turned. Returns those that are still counted among
-- the living; a process that is missing from the answer has been declared lost and must stop.
-- Index: primary key. Locks: their worker rows, in the order of their ids.
WITH alive AS MATERIALIZED (
    SELECT worker.boot_id, b.running_count
    FROM workers_worker worker
    JOIN unnest(%(boot_ids)s::uuid[], %(running_counts)s::int[]) AS b (boot_id, running_count)
        ON b.boot_id = worker.boot_id
    WHERE worker.state IN ('running', 'draining')
    ORDER BY worker.boot_id
    FOR NO KEY UPDATE OF worker
)
UPDATE workers_worker worker
SET beat_number = worker.beat_number + 1,
    beat_at = now(),
    running_count = alive.running_count
FROM alive
WHERE worker.boot_id = alive.boot_id
RETURNING worker.boot_id
