/* ordinaut: history */
-- Purpose: the journals of runs that go on, in the order in which their entries were written. Index: (run, path,
-- attempt). Locks: none.
SELECT step.run_id, step.path, step.attempt, step.run_attempt, step.kind, step.uses, step.state, step.input,
    COALESCE(step.output, artifact.content), step.error, step.is_simulated, step.is_tolerated, step.started_at,
    step.finished_at
FROM workers_steprun step
LEFT JOIN workers_artifact artifact ON artifact.digest = NULLIF(step.output_artifact, '')
WHERE step.run_id = ANY(%(run_ids)s::uuid[])
ORDER BY step.run_id, step.id
