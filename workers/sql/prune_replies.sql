/* ordinaut: prune_replies */
-- Purpose: delete stored replies whose idempotency key has expired, the oldest first. The place of the walk is an instant
-- and an id, "expires_at/id". Index: idempotency_expiry_idx. Locks: the rows it deletes.
WITH place AS MATERIALIZED (
    SELECT
        split_part(%(after)s::text, '/', 1)::timestamptz AS expires_at, split_part(%(after)s::text, '/', 2)::bigint AS id
), old AS MATERIALIZED (
    SELECT record.id, record.expires_at
    FROM scheduling_idempotencyrecord record
    WHERE record.expires_at < now() AND record.expires_at >= (SELECT expires_at FROM place)
      AND (record.expires_at > (SELECT expires_at FROM place) OR record.id >= (SELECT id FROM place))
    ORDER BY record.expires_at, record.id
    LIMIT %(limit)s
), gone AS (
    DELETE FROM scheduling_idempotencyrecord record WHERE record.id = ANY(ARRAY(SELECT id FROM old))
    RETURNING record.id
)
SELECT
    (SELECT count(*) FROM gone),
    (SELECT expires_at || '/' || id FROM old ORDER BY old.expires_at DESC, old.id DESC LIMIT 1),
    NULL::text,
    (SELECT count(*) FROM old) < %(limit)s
