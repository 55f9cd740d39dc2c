/* ordinaut: answers */
-- Purpose: what was answered to the questions of runs that go on, and which of them nobody can answer any more. Read after
-- the claim, it has all that was answered before it. Index: (run, path, attempt). Locks: none.
SELECT run_id, path, attempt, answer
FROM workers_question
WHERE run_id = ANY(%(run_ids)s::uuid[]) AND (answer IS NOT NULL OR closed_at IS NOT NULL)
