/* ordinaut: oldest_snapshot */
-- Purpose: who keeps VACUUM from removing dead rows of this database: the session, prepared transaction or replication
-- slot with the oldest transaction id. A vacuum itself keeps nothing. Locks: none.
SELECT held.kind, held.name, held.application, held.seconds::float8, held.state, held.query
FROM (
    SELECT 'transaction' AS kind, 'pid ' || activity.pid AS name, activity.application_name AS application,
        EXTRACT(EPOCH FROM clock_timestamp() - COALESCE(activity.xact_start, activity.backend_start)) AS seconds,
        COALESCE(activity.state, '') AS state,
        left(regexp_replace(activity.query, '\s+', ' ', 'g'), 80) AS query,
        GREATEST(age(activity.backend_xmin), age(activity.backend_xid)) AS xids
    FROM pg_stat_activity activity
    WHERE activity.pid <> pg_backend_pid()
      AND (activity.backend_xmin IS NOT NULL OR activity.backend_xid IS NOT NULL)
      AND (activity.datname = current_database() OR activity.datname IS NULL)
      AND activity.backend_type <> 'autovacuum worker'
    UNION ALL
    SELECT 'prepared transaction', gid, owner::text, EXTRACT(EPOCH FROM clock_timestamp() - prepared), 'prepared', '',
        age(transaction)
    FROM pg_prepared_xacts
    WHERE database = current_database()
    UNION ALL
    SELECT 'replication slot', slot_name::text, COALESCE(plugin::text, ''), NULL,
        CASE WHEN active THEN 'active' ELSE 'not active' END, '', age(xmin)
    FROM pg_replication_slots
    WHERE xmin IS NOT NULL
) AS held
ORDER BY held.xids DESC, held.seconds DESC NULLS LAST
LIMIT 1
