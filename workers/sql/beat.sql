/* ordinaut: beat */
-- Purpose: one beat for all processes of a host whose loops have turned, with what each says of itself: what it does
-- (null where that has not changed) and its last unexpected error (null where there is no new one). Returns those that
-- are still counted among the living, whether they (or all of their host) are asked to drain, and whether they have
-- beaten: the row of one may be locked by another transaction, which must not hold up the others. A process that is
-- missing from the answer has been declared lost and must stop.
-- Index: primary key, worker_drains_host_idx. Locks: their worker rows, in the order of their ids (SKIP LOCKED).
WITH alive AS MATERIALIZED (
    SELECT worker.boot_id, b.running_count, b.doing, b.error
    FROM workers_worker worker
    JOIN unnest(%(boot_ids)s::uuid[], %(running_counts)s::int[], %(doings)s::text[], %(errors)s::text[])
        AS b (boot_id, running_count, doing, error)
        ON b.boot_id = worker.boot_id
    WHERE worker.state IN ('running', 'draining')
    ORDER BY worker.boot_id
    FOR NO KEY UPDATE OF worker SKIP LOCKED
), beaten AS (
    UPDATE workers_worker worker
    SET beat_number = worker.beat_number + 1,
        beat_at = now(),
        running_count = alive.running_count,
        doing = COALESCE(alive.doing::jsonb, worker.doing),
        last_error = COALESCE(alive.error, worker.last_error),
        last_error_at = CASE WHEN alive.error IS NULL THEN worker.last_error_at ELSE now() END
    FROM alive
    WHERE worker.boot_id = alive.boot_id
    RETURNING worker.boot_id, worker.supervisor_id, worker.drain_requested_at IS NOT NULL AS is_asked
)
SELECT boot_id, is_asked OR EXISTS (
    SELECT FROM workers_worker peer WHERE peer.supervisor_id = beaten.supervisor_id AND peer.drains_host
), true
FROM beaten
UNION ALL
-- As of the statement's beginning: one that is being declared lost counts among the living once more, without a beat.
SELECT worker.boot_id, worker.drain_requested_at IS NOT NULL, false
FROM workers_worker worker
WHERE worker.boot_id = ANY (%(boot_ids)s::uuid[]) AND worker.state IN ('running', 'draining')
  AND worker.boot_id NOT IN (SELECT boot_id FROM alive)
