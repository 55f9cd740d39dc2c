/* ordinaut: prune_artifacts */
-- Purpose: delete large results that no step names. They are written before the step that names them, and a result that
-- is there already is made young again (keep_artifact): so one that nobody names is an orphan once it has a certain age.
-- OFFSET 0: as in delete_runs. Index: primary key; step_run_artifact_idx. Locks: the rows it deletes; one that is being made young is looked at again.
WITH page AS MATERIALIZED (
    SELECT artifact.digest, artifact.created_at
    FROM workers_artifact artifact
    WHERE artifact.digest >= %(after)s::text
    ORDER BY artifact.digest
    LIMIT %(look)s
), old AS MATERIALIZED (
    SELECT page.digest
    FROM page
    WHERE page.created_at < now() - %(age)s::interval
      AND NOT EXISTS (
          SELECT FROM workers_steprun step WHERE step.output_artifact = page.digest AND step.output_artifact <> ''
          OFFSET 0
      )
    ORDER BY page.digest
    LIMIT %(limit)s
), gone AS (
    DELETE FROM workers_artifact artifact WHERE artifact.digest = ANY(ARRAY(SELECT digest FROM old)) AND artifact.created_at < now() - %(age)s::interval
    RETURNING artifact.digest
)
SELECT
    (SELECT count(*) FROM gone),
    CASE
        WHEN (SELECT count(*) FROM old) = %(limit)s THEN (SELECT digest FROM old ORDER BY digest DESC LIMIT 1)
        ELSE (SELECT digest FROM page ORDER BY digest DESC LIMIT 1)
    END,
    NULL::text,
    (SELECT count(*) FROM page) < %(look)s AND (SELECT count(*) FROM old) < %(limit)s
