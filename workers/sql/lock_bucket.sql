/* ordinaut: lock_bucket */
-- Purpose: have the bucket of a queue's rate for this transaction. What it holds is read by the next statement
-- (`bucket`): in one, the snapshot would be older than the lock.
-- Index: primary key. Locks: the bucket (SKIP LOCKED: a process that is frozen with it holds up its queue alone).
SELECT bucket.key FROM scheduling_ratebucket bucket WHERE bucket.key = 'queue:' || %(queue)s FOR UPDATE SKIP LOCKED
