/* ordinaut: prune_replies */
-- Purpose: delete stored replies whose idempotency key has expired, the oldest first; no place is remembered.
-- Index: idempotency_expiry_idx. Locks: the rows it deletes.
WITH old AS MATERIALIZED (
    SELECT record.id
    FROM scheduling_idempotencyrecord record
    WHERE record.expires_at < now()
    ORDER BY record.expires_at
    LIMIT %(limit)s
), gone AS (
    DELETE FROM scheduling_idempotencyrecord record WHERE record.id = ANY(ARRAY(SELECT id FROM old))
    RETURNING record.id
)
SELECT (SELECT count(*) FROM gone), NULL::text, NULL::text, (SELECT count(*) FROM old) < %(limit)s
