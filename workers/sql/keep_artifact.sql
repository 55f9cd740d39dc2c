/* ordinaut: keep_artifact */
-- Purpose: store large results under the digests of their bytes, before the journal names them. One that is there
-- already is made young again, so that retention, which deletes orphans of an hour, lets the journal come first.
-- Index: primary key. Locks: the rows it makes young.
INSERT INTO workers_artifact AS known (digest, content, size)
SELECT digest, content, length(content)
FROM unnest(%(digests)s::text[], %(contents)s::bytea[]) AS a (digest, content)
ORDER BY digest
ON CONFLICT (digest) DO UPDATE SET created_at = now() WHERE known.created_at < now() - interval '10 minutes'
