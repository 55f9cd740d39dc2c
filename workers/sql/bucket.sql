/* ordinaut: bucket */
-- Purpose: the tokens of a bucket that this transaction holds, as of its beginning, which is when its starts are dated;
-- and the seconds from one token to the next. Nothing where another has taken tokens after that instant, or where the
-- rate is gone. A bucket far ahead of the clock was filled before the clock was set back.
-- Index: primary keys. Locks: none; the bucket is locked.
SELECT
    LEAST(
        COALESCE(queue.rate_burst, queue.rate_limit),
        bucket.tokens + queue.rate_limit
            * GREATEST(EXTRACT(EPOCH FROM now() - bucket.refilled_at), 0) / EXTRACT(EPOCH FROM queue.rate_period)
    )::float8,
    (EXTRACT(EPOCH FROM queue.rate_period) / queue.rate_limit)::float8
FROM scheduling_ratebucket bucket
JOIN scheduling_queue queue ON queue.name = %(queue)s AND queue.rate_limit IS NOT NULL
WHERE bucket.key = 'queue:' || %(queue)s
  AND (bucket.refilled_at <= now() OR bucket.refilled_at > now() + interval '10 seconds')
