/* ordinaut: prune_dedupe_keys */
-- Purpose: delete deduplication keys whose window is over. A start that takes such a key at this moment is waited for,
-- and then the row is young. Index: primary key; a page of the next "look" rows is read. Locks: the rows it deletes.
WITH page AS MATERIALIZED (
    SELECT key.id, key.expires_at
    FROM scheduling_dedupekey key
    WHERE key.id >= %(after)s::text::bigint
    ORDER BY key.id
    LIMIT %(look)s
), old AS MATERIALIZED (
    SELECT page.id FROM page WHERE page.expires_at < now() ORDER BY page.id LIMIT %(limit)s
), gone AS (
    DELETE FROM scheduling_dedupekey key WHERE key.id = ANY(ARRAY(SELECT id FROM old)) AND key.expires_at < now()
    RETURNING key.id
)
SELECT
    (SELECT count(*) FROM gone),
    CASE
        WHEN (SELECT count(*) FROM old) = %(limit)s THEN (SELECT max(id)::text FROM old)
        ELSE (SELECT max(id)::text FROM page)
    END,
    (SELECT min(id)::text FROM page WHERE id NOT IN (SELECT id FROM old)),
    (SELECT count(*) FROM page) < %(look)s AND (SELECT count(*) FROM old) < %(limit)s
