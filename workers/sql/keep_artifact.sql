/* ordinaut: keep_artifact */
-- Purpose: store large results under the digests of their bytes, before the journal names them. Index: primary key.
INSERT INTO workers_artifact (digest, content, size)
SELECT digest, content, length(content)
FROM unnest(%(digests)s::text[], %(contents)s::bytea[]) AS a (digest, content)
ORDER BY digest
ON CONFLICT (digest) DO NOTHING
