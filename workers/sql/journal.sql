/* ordinaut: journal */
-- Purpose: commit what the slots of one process have finished: journal entries, ends of runs, and runs that go back to
-- the queue (retry, park, hand-back), in one statement. Returns the runs that are still this process's; entries of
-- all others change nothing.
-- Reading the epoch would be no fence, because the reaper may commit in between: the rows of the queue are locked
-- first, in the order of their ids, and every write follows from what that lock returned.
-- Index: primary keys; (run, path, attempt) of the journal. Locks: the due work and the runs it writes.
WITH entry AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(run_ids)s::uuid[], %(epochs)s::bigint[], %(actions)s::text[], %(states)s::text[], %(causes)s::text[],
        %(attempts)s::smallint[], %(outputs)s::bytea[], %(errors)s::bytea[], %(untils)s::timestamptz[],
        %(delays)s::float8[], %(handbacks)s::smallint[], %(wait_paths)s::text[], %(wakes)s::bool[]
    ) AS e (run_id, epoch, action, state, cause, attempt, output, error, until, delay, handbacks, wait_path, wakes)
), owned AS MATERIALIZED (
    -- With the entry's columns, so that nothing below joins the two again: the planner would do it row by row. Lateral,
    -- so that each row is found by its key: where plans are not kept (behind a pooler) the statistics, by which nothing
    -- is leased, would have the planner read the whole queue instead.
    SELECT entry.*, work.started_at
    FROM (SELECT * FROM entry ORDER BY entry.run_id) AS entry
    CROSS JOIN LATERAL (
        SELECT leased.started_at
        FROM scheduling_duework leased
        WHERE leased.run_id = entry.run_id AND leased.lease_owner = %(boot_id)s AND leased.lease_epoch = entry.epoch
        FOR NO KEY UPDATE
    ) AS work
), journaled AS (
    INSERT INTO workers_steprun AS known (
        run_id, path, attempt, run_attempt, kind, uses, state, input, output, output_artifact, error,
        is_simulated, is_tolerated, started_at, finished_at
    )
    SELECT owned.run_id, s.path, s.attempt, s.run_attempt, s.kind, s.uses, s.state, s.input, s.output,
        s.output_artifact, s.error, s.is_simulated, s.is_tolerated, s.started_at, s.finished_at
    FROM unnest(
        %(step_runs)s::uuid[], %(step_paths)s::text[], %(step_attempts)s::smallint[], %(step_run_attempts)s::smallint[],
        %(step_kinds)s::text[], %(step_uses)s::text[], %(step_states)s::text[], %(step_inputs)s::bytea[],
        %(step_outputs)s::bytea[], %(step_artifacts)s::text[], %(step_errors)s::bytea[],
        %(step_simulated)s::bool[], %(step_tolerated)s::bool[], %(step_started)s::timestamptz[],
        %(step_finished)s::timestamptz[]
    ) WITH ORDINALITY AS s (
        run_id, path, attempt, run_attempt, kind, uses, state, input, output, output_artifact, error,
        is_simulated, is_tolerated, started_at, finished_at, place
    )
    JOIN owned ON owned.run_id = s.run_id
    -- Readers follow the order of the keys, and a join keeps none.
    ORDER BY s.place
    -- An intent becomes a result; a result stands.
    ON CONFLICT (run_id, path, attempt) DO UPDATE
    SET state = EXCLUDED.state, input = COALESCE(EXCLUDED.input, known.input), output = EXCLUDED.output,
        output_artifact = EXCLUDED.output_artifact, error = EXCLUDED.error, is_simulated = EXCLUDED.is_simulated,
        is_tolerated = EXCLUDED.is_tolerated, started_at = COALESCE(known.started_at, EXCLUDED.started_at),
        finished_at = EXCLUDED.finished_at
    WHERE known.state = 'started'
), ended AS (
    DELETE FROM scheduling_duework work
    USING owned
    WHERE owned.action = 'end' AND work.run_id = owned.run_id
), requeued AS (
    UPDATE scheduling_duework work
    SET lease_owner = NULL,
        claimed_at = NULL,
        available_at = CASE
            WHEN work.cancel_requested_at IS NOT NULL THEN now()
            -- Answered while it was held: whoever answers sets the time under the lock of this row, and until the
            -- claim it was earlier than that (docs/decisions/0011-questions.md).
            WHEN owned.state = 'waiting' AND work.available_at > work.claimed_at THEN now()
            -- What is handed back for another process keeps its place.
            WHEN owned.handbacks > 0 AND owned.delay = 0 THEN work.available_at
            ELSE COALESCE(owned.until, now() + owned.delay * interval '1 second')
        END,
        attempt = owned.attempt,
        handback_count = work.handback_count + owned.handbacks,
        -- An orderly outcome clears a suspect; to be handed back is none.
        is_suspect = work.is_suspect AND owned.handbacks > 0,
        gate = CASE
            WHEN work.is_suspect AND owned.handbacks > 0 THEN 'suspect'
            WHEN work.concurrency_key IS NOT NULL THEN 'key'
        END,
        deadline_at = CASE WHEN owned.state = 'waiting' THEN work.deadline_at END
    FROM owned
    WHERE owned.action = 'requeue' AND work.run_id = owned.run_id
), told AS (
    UPDATE scheduling_run run
    SET state = owned.state,
        cause = owned.cause,
        attempt = owned.attempt,
        output = owned.output,
        error = COALESCE(owned.error, CASE WHEN owned.action = 'requeue' THEN run.error END),
        started_at = owned.started_at,
        finished_at = CASE WHEN owned.action = 'end' THEN now() END
    FROM owned
    WHERE owned.action <> 'keep' AND run.id = owned.run_id
), parked AS (
    INSERT INTO workers_wait (run_id, path, kind, wake_at)
    SELECT owned.run_id, owned.wait_path, 'timer', owned.until
    FROM owned
    WHERE owned.wait_path IS NOT NULL
    ON CONFLICT (run_id, path) DO UPDATE SET wake_at = EXCLUDED.wake_at
), woken AS (
    DELETE FROM workers_wait wait
    USING owned
    WHERE owned.wakes AND wait.run_id = owned.run_id
      AND wait.path IS DISTINCT FROM owned.wait_path
)
SELECT run_id FROM owned
