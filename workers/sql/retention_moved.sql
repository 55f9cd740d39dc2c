/* ordinaut: retention_moved */
-- Purpose: remember, in the transaction that deleted, how far a kind has been looked through and what was deleted.
-- Index: primary key. Locks: the kind's row.
UPDATE workers_retention
SET cursor = %(cursor)s::text, lap_start = %(lap_start)s::text, lap_at = %(lap_at)s::timestamptz,
    is_resting = %(is_resting)s::bool,
    turn_deleted = turn_deleted + %(deleted)s::int, deleted_count = deleted_count + %(deleted)s::int,
    turn_seconds = extract(epoch FROM clock_timestamp() - turn_at)
WHERE kind = %(kind)s::text
