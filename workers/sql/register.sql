/* ordinaut: register */
-- Purpose: make a process known before its first claim, and asked to drain where its whole host is. Repeating it changes
-- nothing. Index: worker_drains_host_idx. Locks: its own row.
INSERT INTO workers_worker (
    boot_id, supervisor_id, host, pid, release, queues, slots, running_count, state, beat_number, last_error,
    drain_requested_at, drain_requested_by, state_reason
)
SELECT
    %(boot_id)s, %(supervisor_id)s, %(host)s, %(pid)s, %(release)s, %(queues)s, %(slots)s, 0, 'running', 0, '',
    peer.drain_requested_at, COALESCE(peer.drain_requested_by, ''), COALESCE(peer.state_reason, '')
FROM (VALUES (1)) AS one (row)
LEFT JOIN LATERAL (
    SELECT drain_requested_at, drain_requested_by, 'drains with all of its host' AS state_reason
    FROM workers_worker
    WHERE supervisor_id = %(supervisor_id)s AND drains_host
    ORDER BY drain_requested_at
    LIMIT 1
) AS peer ON true
ON CONFLICT (boot_id) DO NOTHING
