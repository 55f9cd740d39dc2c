/* ordinaut: spend */
-- Purpose: write what is left in a bucket, together with the starts that took the rest.
-- Index: primary key. Locks: the bucket, which this transaction holds already.
UPDATE scheduling_ratebucket bucket
SET tokens = %(tokens)s, refilled_at = now()
WHERE bucket.key = 'queue:' || %(queue)s
