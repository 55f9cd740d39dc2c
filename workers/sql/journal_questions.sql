/* ordinaut: journal_questions */
-- Purpose: the part of `journal` for runs that ask something or may have asked before: questions are put with the entries
-- that begin their steps, and closed with those that end them, or with the run; worker hosts are told of those that they
-- are to answer. It stands before the last SELECT.
-- Index: (run, path, attempt). Locks: the questions it closes, after the due work that is locked above.
, asked AS (
    INSERT INTO workers_question (id, run_id, path, attempt, kind, until, asks, topic, is_pending)
    SELECT q.id, owned.run_id, q.path, q.attempt, q.kind, q.until, q.asks, q.topic, q.kind <> 'approval'
    FROM unnest(
        %(question_ids)s::uuid[], %(question_runs)s::uuid[], %(question_paths)s::text[],
        %(question_attempts)s::smallint[], %(question_kinds)s::text[], %(question_untils)s::timestamptz[],
        %(question_asks)s::bytea[], %(question_topics)s::text[]
    ) AS q (id, run_id, path, attempt, kind, until, asks, topic)
    JOIN owned ON owned.run_id = q.run_id
    ON CONFLICT (run_id, path, attempt) DO NOTHING
    RETURNING CASE WHEN kind <> 'approval' THEN pg_notify('ordinaut_questions', '') END
), closed AS (
    UPDATE workers_question question
    SET closed_at = now(),
        -- A run that was started for it and that nobody waits for any more is to be canceled.
        is_pending = question.kind = 'run' AND question.subject_id IS NOT NULL
            AND (question.is_pending OR question.answer IS NULL),
        outcome = CASE
            WHEN question.answer IS NOT NULL THEN question.outcome
            WHEN closing.state IN ('succeeded', 'failed') THEN 'expired'
            ELSE 'withdrawn'
        END
    FROM (
        SELECT open.id, COALESCE(s.state, 'canceled') AS state
        FROM owned
        JOIN workers_question open ON open.run_id = owned.run_id AND open.closed_at IS NULL
        LEFT JOIN unnest(
            %(step_runs)s::uuid[], %(step_paths)s::text[], %(step_attempts)s::smallint[], %(step_states)s::text[]
        ) AS s (run_id, path, attempt, state)
            ON s.run_id = open.run_id AND s.path = open.path AND s.attempt = open.attempt AND s.state <> 'started'
        WHERE owned.action = 'end' OR s.state IS NOT NULL
    ) AS closing
    WHERE question.id = closing.id
)
