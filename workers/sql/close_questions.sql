/* ordinaut: close_questions */
-- Purpose: close what runs have asked that have ended meanwhile (canceled while parked). Index: question_open_idx; primary
-- key of due work. Locks: the rows it closes.
UPDATE workers_question question
SET closed_at = now(),
    is_pending = question.kind = 'run' AND question.subject_id IS NOT NULL
        AND (question.is_pending OR question.answer IS NULL),
    outcome = CASE WHEN question.answer IS NULL THEN 'withdrawn' ELSE question.outcome END
WHERE question.closed_at IS NULL
  AND NOT EXISTS (SELECT FROM scheduling_duework work WHERE work.run_id = question.run_id)
