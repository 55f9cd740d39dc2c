/* ordinaut: change_state */
-- Purpose: a process drains or has stopped in order, and why. A reason that somebody else has given (a person who drains
-- it, its supervisor that replaces it) stands. One that was declared lost stays lost. Returns what `workers.row_writes`
-- reads. Index: primary key. Locks: its row (SKIP LOCKED).
WITH own AS MATERIALIZED (
    SELECT boot_id FROM workers_worker
    WHERE boot_id = %(boot_id)s AND state IN ('running', 'draining')
    FOR NO KEY UPDATE SKIP LOCKED
), written AS (
    UPDATE workers_worker worker
    SET state = %(state)s::text,
        state_reason = CASE
            WHEN worker.state_reason IN ('', %(by_signal)s::text) THEN %(reason)s::text
            ELSE worker.state_reason
        END,
        running_count = CASE WHEN %(state)s::text = 'stopped' THEN 0 ELSE worker.running_count END,
        doing = CASE WHEN %(state)s::text = 'stopped' THEN NULL ELSE worker.doing END,
        stopped_at = CASE WHEN %(state)s::text = 'stopped' THEN now() END
    FROM own
    WHERE worker.boot_id = own.boot_id
)
SELECT EXISTS (SELECT FROM own), EXISTS (
    SELECT FROM workers_worker
    WHERE boot_id = %(boot_id)s AND state IN ('running', 'draining')
)
