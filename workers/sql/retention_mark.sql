/* ordinaut: retention_mark */
-- Purpose: how far a kind has been looked through, and what time it is. Index: primary key. Locks: none; see
-- retention_lock.
SELECT cursor, lap_start, lap_at, is_resting, clock_timestamp() FROM workers_retention WHERE kind = %(kind)s
