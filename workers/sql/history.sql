/* ordinaut: history */
-- Purpose: the journals of runs that go on, in the order in which their entries were written. What was tried before a
-- redrive is of no present attempt of the run (0), so that its failures use up no retries.
-- Index: (run, path, attempt); primary key of due work. Locks: none.
SELECT step.run_id, step.path, step.attempt,
    CASE WHEN step.finished_at < work.redriven_at THEN 0 ELSE step.run_attempt END, step.kind, step.uses, step.state, step.input,
    COALESCE(step.output, artifact.content), step.error, step.is_simulated, step.is_tolerated, step.started_at,
    step.finished_at
FROM workers_steprun step
LEFT JOIN scheduling_duework work ON work.run_id = step.run_id
LEFT JOIN workers_artifact artifact ON artifact.digest = NULLIF(step.output_artifact, '')
WHERE step.run_id = ANY(%(run_ids)s::uuid[])
ORDER BY step.run_id, step.id
