/* ordinaut: oldest_snapshot */
-- Purpose: who keeps VACUUM from removing dead rows of this database: the session, prepared transaction or replication
-- slot with the oldest transaction id. A vacuum itself keeps nothing. Of a session of another role, unless ours may read
-- all statistics, no more is to be seen than that it is there: what kind it is, since when it is open and what it said are
-- NULL (or a phrase). An autovacuum worker is told then by having no role at all. Locks: none.
SELECT held.kind, held.name, held.application, held.seconds::float8, held.state, held.query
FROM (
    SELECT 'transaction' AS kind, 'pid ' || activity.pid AS name, activity.application_name AS application,
        EXTRACT(EPOCH FROM clock_timestamp() - COALESCE(activity.xact_start, activity.backend_start)) AS seconds,
        CASE
            WHEN activity.backend_type IS NULL
            THEN 'session of another role (one with pg_read_all_stats sees more)'
            ELSE COALESCE(activity.state, '')
        END AS state,
        CASE
            WHEN activity.backend_type IS NULL THEN ''
            ELSE COALESCE(left(regexp_replace(activity.query, '\s+', ' ', 'g'), 80), '')
        END AS query,
        GREATEST(age(activity.backend_xmin), age(activity.backend_xid)) AS xids
    FROM pg_stat_activity activity
    WHERE activity.pid <> pg_backend_pid()
      AND (activity.backend_xmin IS NOT NULL OR activity.backend_xid IS NOT NULL)
      AND (activity.datname = current_database() OR activity.datname IS NULL)
      AND activity.backend_type IS DISTINCT FROM 'autovacuum worker'
      AND (activity.backend_type IS NOT NULL OR activity.usesysid IS NOT NULL)
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
