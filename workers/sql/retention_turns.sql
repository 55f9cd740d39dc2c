/* ordinaut: retention_turns */
-- Purpose: take the turns of some kinds, those whose last began long enough ago; returns them. Of several hosts that ask
-- at once one gets each. "anew" has each begin another lap, a whole one. Index: primary key. Locks: the rows of those kinds.
INSERT INTO workers_retention AS known (
    kind, cursor, lap_start, lap_at, is_resting, turn_at, turn_host, turn_deleted, turn_seconds, deleted_count
)
SELECT kind, '', '', now(), true, now(), %(host)s::text, 0, 0, 0
FROM unnest(%(kinds)s::text[]) AS asked (kind)
ORDER BY kind
ON CONFLICT (kind) DO UPDATE
SET turn_at = now(), turn_host = EXCLUDED.turn_host, turn_deleted = 0, turn_seconds = 0,
    is_resting = known.is_resting OR %(anew)s::bool,
    lap_at = CASE WHEN %(anew)s::bool THEN 'epoch' ELSE known.lap_at END
WHERE known.turn_at <= now() - %(every)s::interval
RETURNING kind
