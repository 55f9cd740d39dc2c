/* ordinaut: dead_tuples */
-- Purpose: how many live and dead rows the hot tables have, by the server's own count. Locks: none.
SELECT relname::text, n_live_tup, n_dead_tup
FROM pg_stat_user_tables
WHERE schemaname = current_schema()
  AND relname IN ('scheduling_duework', 'scheduling_run', 'workers_steprun', 'workers_worker', 'scheduling_runend')
ORDER BY relname
