/* ordinaut: prune_keys */
-- Purpose: delete locked concurrency keys with their buckets where still nobody holds them or waits. Admission locks a
-- key, then writes due work and commits: so whoever had the key before it was locked here is seen by this statement, and
-- whoever comes after it makes the key anew.
-- Index: as lock_idle_keys. Locks: the keys (held already), their buckets.
WITH page AS MATERIALIZED (
    SELECT key.key FROM scheduling_concurrencykey key WHERE key.key >= %(after)s::text ORDER BY key.key LIMIT %(look)s
), elsewhere AS MATERIALIZED (
    SELECT DISTINCT work.concurrency_key AS key FROM scheduling_duework work
    WHERE work.gate IN ('paused', 'overlap') AND work.concurrency_key IS NOT NULL
), idle AS MATERIALIZED (
    SELECT locked.key
    FROM unnest(%(locked)s::text[]) AS locked (key)
    WHERE locked.key NOT IN (SELECT key FROM elsewhere)
      AND NOT EXISTS (
          SELECT FROM scheduling_duework held
          WHERE held.concurrency_key = locked.key AND (held.gate IS NULL OR held.gate = 'suspect')
          OFFSET 0
      )
      AND NOT EXISTS (
          SELECT FROM scheduling_duework waiting
          WHERE waiting.concurrency_key = locked.key AND waiting.gate = 'key'
          OFFSET 0
      )
), emptied AS (
    DELETE FROM scheduling_ratebucket bucket WHERE bucket.key = ANY(ARRAY(SELECT 'key:' || key FROM idle))
), gone AS (
    DELETE FROM scheduling_concurrencykey key WHERE key.key = ANY(ARRAY(SELECT idle.key FROM idle)) RETURNING key.key
)
SELECT
    (SELECT count(*) FROM gone),
    CASE
        WHEN cardinality(%(locked)s::text[]) = %(limit)s
        THEN (SELECT locked.key FROM unnest(%(locked)s::text[]) AS locked (key) ORDER BY locked.key DESC LIMIT 1)
        ELSE (SELECT page.key FROM page ORDER BY page.key DESC LIMIT 1)
    END,
    NULL::text,
    (SELECT count(*) FROM page) < %(look)s AND cardinality(%(locked)s::text[]) < %(limit)s
