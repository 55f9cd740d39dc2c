/* ordinaut: give_away */
-- Purpose: take the leases of dead processes. All their runs become suspects, to be tried one a process; the one that
-- was the suspect already is charged with the death, and at the limit quarantined. A new epoch voids whatever the dead
-- may still write. A run that was parked keeps its deadline. One that was to be canceled is, where it had begun nothing
-- or has had its deaths; else it goes back, still to be canceled, because it may have something to run last.
-- Index: none on purpose (every claim would pay for it): one pass over the queue at each death; (run, path, attempt) of
-- the journal. Locks: the rows it takes, in the order of their ids, and the runs it ends.
WITH orphaned AS MATERIALIZED (
    SELECT work.run_id, work.is_suspect, work.death_count, work.started_at, work.attempt, work.task_id,
        work.is_exclusive, work.concurrency_key, work.deadline_at, work.cancel_requested_at IS NOT NULL AS is_canceled,
        work.cancel_requested_at IS NOT NULL AND (
            work.is_suspect AND work.death_count + 1 >= %(limit)s
            OR NOT EXISTS (SELECT FROM workers_steprun step WHERE step.run_id = work.run_id OFFSET 0)
        ) AS ends_canceled
    FROM scheduling_duework work
    WHERE work.lease_owner = ANY(%(boot_ids)s::uuid[])
    ORDER BY work.run_id
    FOR NO KEY UPDATE
), poison AS (
    SELECT run_id FROM orphaned WHERE is_suspect AND death_count + 1 >= %(limit)s AND NOT is_canceled
), ended AS (
    SELECT run_id FROM poison UNION ALL SELECT run_id FROM orphaned WHERE ends_canceled
), freed AS (
    UPDATE scheduling_duework work
    SET lease_owner = NULL,
        lease_epoch = nextval('scheduling_lease_epoch'),
        claimed_at = NULL,
        deadline_at = CASE WHEN run.state = 'waiting' THEN orphaned.deadline_at END,
        gate = 'suspect',
        death_count = work.death_count + CASE WHEN work.is_suspect THEN 1 ELSE 0 END,
        is_suspect = true
    FROM orphaned
    LEFT JOIN scheduling_run run ON run.id = orphaned.run_id
    WHERE work.run_id = orphaned.run_id AND work.run_id NOT IN (SELECT run_id FROM ended)
), gone AS (
    DELETE FROM scheduling_duework work USING ended WHERE work.run_id = ended.run_id
), told AS (
    UPDATE scheduling_run run
    SET state = CASE
            WHEN orphaned.ends_canceled THEN 'canceled' WHEN poison.run_id IS NULL THEN 'queued' ELSE 'failed'
        END,
        cause = CASE WHEN poison.run_id IS NULL THEN '' ELSE 'quarantined' END,
        error = CASE
            WHEN orphaned.ends_canceled THEN %(canceled)s WHEN poison.run_id IS NULL THEN run.error ELSE %(error)s
        END,
        attempt = orphaned.attempt,
        started_at = orphaned.started_at,
        finished_at = CASE WHEN orphaned.ends_canceled OR poison.run_id IS NOT NULL THEN now() END
    FROM orphaned
    LEFT JOIN poison ON poison.run_id = orphaned.run_id
    WHERE run.id = orphaned.run_id
)
SELECT orphaned.run_id, orphaned.is_suspect, poison.run_id IS NOT NULL AS is_quarantined, orphaned.task_id,
    orphaned.is_exclusive, orphaned.concurrency_key, orphaned.ends_canceled
FROM orphaned
LEFT JOIN poison ON poison.run_id = orphaned.run_id
