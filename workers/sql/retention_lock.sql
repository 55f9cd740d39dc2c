/* ordinaut: retention_lock */
-- Purpose: be the only one who deletes rows of a kind, on any host, until the transaction ends; false where another is.
SELECT pg_try_advisory_xact_lock(%(space)s::int, %(number)s::int)
