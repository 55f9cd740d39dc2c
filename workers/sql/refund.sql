/* ordinaut: refund */
-- Purpose: give the tokens back of starts that did not come about, to the buckets of queues and keys that have a rate;
-- what is above the burst is cut off by whoever reads them. After the release and not in it, because buckets are locked
-- before due work everywhere else: killed in between, a token is lost and nothing is started too soon.
-- Index: primary key. Locks: the buckets, in the order of their keys.
WITH refund AS (
    SELECT r.key, r.tokens FROM unnest(%(keys)s::text[], %(tokens)s::int[]) AS r (key, tokens)
), held AS MATERIALIZED (
    SELECT bucket.key, refund.tokens
    FROM scheduling_ratebucket bucket
    JOIN refund ON refund.key = bucket.key
    ORDER BY bucket.key
    FOR NO KEY UPDATE OF bucket
)
UPDATE scheduling_ratebucket bucket
SET tokens = bucket.tokens + held.tokens
FROM held
WHERE bucket.key = held.key
RETURNING bucket.key
