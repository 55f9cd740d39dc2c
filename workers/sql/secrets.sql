/* ordinaut: secrets */
-- Purpose: some secrets of one agent, encrypted, for the call of a tool. Index: secret_name_unique_for_agent. Locks: none.
SELECT name, key_id, ciphertext, tools, hosts
FROM pipelines_secret
WHERE agent_id = %(agent_id)s AND name = ANY(%(names)s::text[])
