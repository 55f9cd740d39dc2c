/* ordinaut: lock_idle_keys */
-- Purpose: lock the concurrency keys of a page that nobody holds or waits for, and whose rate, where there is one, owes
-- nothing any more. Index: primary key; a page of the next "look" rows is read; due_work_key_held_idx,
-- due_work_key_waiting_idx, due_work_gate_idx. Locks: those keys; one that an admission has right now is left.
WITH page AS MATERIALIZED (
    SELECT key.key FROM scheduling_concurrencykey key WHERE key.key >= %(after)s::text ORDER BY key.key LIMIT %(look)s
), elsewhere AS MATERIALIZED (
    SELECT DISTINCT work.concurrency_key AS key FROM scheduling_duework work
    WHERE work.gate IN ('paused', 'overlap') AND work.concurrency_key IS NOT NULL
)
SELECT key.key
FROM scheduling_concurrencykey key
JOIN page ON page.key = key.key
WHERE key.key NOT IN (SELECT key FROM elsewhere)
  AND NOT EXISTS (
      SELECT FROM scheduling_duework held
      WHERE held.concurrency_key = page.key AND (held.gate IS NULL OR held.gate = 'suspect')
      OFFSET 0
  )
  AND NOT EXISTS (
      SELECT FROM scheduling_duework waiting WHERE waiting.concurrency_key = page.key AND waiting.gate = 'key' OFFSET 0
  )
  AND NOT EXISTS (
      SELECT FROM scheduling_ratebucket bucket
      WHERE bucket.key = 'key:' || page.key AND key.rate_period IS NOT NULL
        AND bucket.refilled_at > now() - key.rate_period
      OFFSET 0
  )
ORDER BY key.key
LIMIT %(limit)s
FOR UPDATE OF key SKIP LOCKED
