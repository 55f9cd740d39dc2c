/* ordinaut: delete_runs */
-- Purpose: delete ended runs with their steps and waits, and the memory of what their steps do once
-- (scheduling.audit.once), in one statement, so that none of it outlives its run, nor the run any of it. Kept all
-- the same, until the next lap, is a run
--   that is live again, or locked by somebody who redrives it;
--   whose end nobody has acted on yet (RunEnds go in the order of their ends);
--   that its schedule has not been accounted for, or it would count as a hole: in any state, since a pause may end;
--   that a live run waits for (its child), came from (its parent) or repeats (its source);
--   that a deduplication key names whose window is not over;
--   that is among the ends by which its task is paused after failures: as many of the newest as it allows to fail. They
--   are looked for where scheduling.triggers.run_ends counts them; of an old run the first few that are read are later.
-- Of ended replays and children only the reference goes.
-- At most about "steps" journal entries a statement, and at least one run: returns the ids of the deleted runs, and of
-- those that did not fit.
-- OFFSET 0 has each condition asked run by run, through its index, and so do the arrays: joined, a table of millions
-- would be read whole.
-- Index: primary keys; (run, path, attempt) and (run, path) of the journal and the waits; run_parent_idx,
-- run_replay_idx, dedupe_key_run_idx, run_task_idx, idempotency_key_unique_for_actor. Locks: the runs it deletes, in the order of their ids (SKIP LOCKED).
WITH asked AS MATERIALIZED (
    SELECT run.id
    FROM unnest(%(run_ids)s::uuid[]) AS asked (id)
    CROSS JOIN LATERAL (SELECT * FROM scheduling_run named WHERE named.id = asked.id OFFSET 0) AS run
    WHERE run.state IN ('succeeded', 'failed', 'canceled', 'skipped', 'missed')
      AND NOT EXISTS (SELECT FROM scheduling_duework work WHERE work.run_id = run.id OFFSET 0)
      AND NOT EXISTS (SELECT FROM scheduling_duework work WHERE work.run_id = run.parent_id OFFSET 0)
      AND run.finished_at < COALESCE(
          (SELECT told.created_at - interval '1 minute' FROM scheduling_runend told ORDER BY told.id LIMIT 1), 'infinity'
      )
      AND NOT EXISTS (
          SELECT FROM scheduling_schedule schedule
          WHERE schedule.id = run.schedule_id
            AND run.trigger_kind IN ('schedule', 'check')
            AND run.scheduled_for > COALESCE(
                schedule.accounted_until, GREATEST(schedule.created_at, schedule.updated_at)
            )
      )
      AND NOT EXISTS (
          SELECT FROM scheduling_run other JOIN scheduling_duework work ON work.run_id = other.id
          WHERE other.parent_id = run.id
          OFFSET 0
      )
      AND NOT EXISTS (
          SELECT FROM scheduling_run other JOIN scheduling_duework work ON work.run_id = other.id
          WHERE other.replay_of_id = run.id
          OFFSET 0
      )
      AND NOT EXISTS (SELECT FROM scheduling_dedupekey key WHERE key.run_id = run.id AND key.expires_at > now() OFFSET 0)
      AND COALESCE(
          (
              SELECT
                  task.pause_after_failures IS NULL
                  OR run.state NOT IN ('succeeded', 'failed')
                  OR run.simulated OR run.is_backfilled OR run.trigger_kind = 'check'
                  OR run.finished_at <= COALESCE(task.resumed_at, '-infinity')
                  OR (
                      SELECT count(*) FROM (
                          SELECT FROM (
                              SELECT newest.id, newest.finished_at FROM scheduling_run newest
                              WHERE newest.task_id = run.task_id AND newest.state IN ('succeeded', 'failed')
                                AND NOT newest.simulated AND NOT newest.is_backfilled AND newest.trigger_kind <> 'check'
                              ORDER BY newest.id DESC
                              LIMIT task.pause_after_failures + 1000
                          ) AS made
                          WHERE (made.finished_at, made.id) > (run.finished_at, run.id)
                          LIMIT task.pause_after_failures
                      ) AS later
                  ) = task.pause_after_failures
              FROM scheduling_task task WHERE task.id = run.task_id
          ),
          true
      )
), measured AS MATERIALIZED (
    SELECT asked.id, sum(journal.entries) OVER (ORDER BY asked.id) - journal.entries AS entries_before
    FROM asked
    CROSS JOIN LATERAL (SELECT count(*) AS entries FROM workers_steprun step WHERE step.run_id = asked.id) AS journal
), doomed AS MATERIALIZED (
    SELECT locked.id
    FROM (SELECT id FROM measured WHERE entries_before < %(steps)s ORDER BY id) AS fitting
    CROSS JOIN LATERAL (
        SELECT run.id
        FROM scheduling_run run
        WHERE run.id = fitting.id AND run.state IN ('succeeded', 'failed', 'canceled', 'skipped', 'missed')
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS locked
), steps AS (
    DELETE FROM workers_steprun step WHERE step.run_id = ANY(ARRAY(SELECT id FROM doomed))
), waits AS (
    DELETE FROM workers_wait wait WHERE wait.run_id = ANY(ARRAY(SELECT id FROM doomed))
), questions AS (
    DELETE FROM workers_question question WHERE question.run_id = ANY(ARRAY(SELECT id FROM doomed))
), memory AS (
    DELETE FROM scheduling_idempotencyrecord record WHERE record.actor_id = ANY(ARRAY(SELECT 'run:' || id FROM doomed))
), referring AS MATERIALIZED (
    SELECT child.id FROM scheduling_run child
    WHERE child.parent_id IS NOT NULL AND child.parent_id = ANY(ARRAY(SELECT id FROM doomed))
    UNION
    SELECT replay.id FROM scheduling_run replay
    WHERE replay.replay_of_id IS NOT NULL AND replay.replay_of_id = ANY(ARRAY(SELECT id FROM doomed))
), forgotten AS (
    UPDATE scheduling_run other
    SET parent_id = CASE WHEN other.parent_id IN (SELECT id FROM doomed) THEN NULL ELSE other.parent_id END,
        replay_of_id = CASE WHEN other.replay_of_id IN (SELECT id FROM doomed) THEN NULL ELSE other.replay_of_id END
    WHERE other.id = ANY(ARRAY(SELECT id FROM referring)) AND other.id NOT IN (SELECT id FROM doomed)
), gone AS (
    DELETE FROM scheduling_run run WHERE run.id = ANY(ARRAY(SELECT id FROM doomed))
    RETURNING run.id
)
SELECT
    ARRAY(SELECT id FROM gone),
    ARRAY(SELECT id FROM measured WHERE entries_before >= %(steps)s)
