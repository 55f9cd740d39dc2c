"""The SQL of admission (`scheduling.runs.admission`): what it reads, locks and writes."""

_TASK_FACTS = """
SELECT id, agent_id, overlap, current_revision_id, params, simulate, priority, queue,
       concurrency_key, concurrency_limit, rate_limit, rate_period, dedupe_key, dedupe_window,
       state = 'paused' AND overlap <> 'cancel_running',
       pause_after_failures IS NOT NULL
           OR EXISTS (SELECT FROM scheduling_schedule follower WHERE follower.after_task_id = scheduling_task.id)
FROM scheduling_task
WHERE id = ANY(%s)
"""

# Purpose: the facts of tasks that allow overlap. Index: primary key. Locks: the task rows, in the order of their ids,
# so weakly that only an edit of the policy waits for them, and they for it: other starters and edits do not.
SHARE_OTHER_TASKS = _TASK_FACTS + " AND overlap = 'allow' ORDER BY id FOR KEY SHARE"

# Purpose: the same for exclusive tasks, one starter at a time. Locks: the task rows, in the order of their ids.
LOCK_EXCLUSIVE_TASKS = _TASK_FACTS + " AND overlap <> 'allow' ORDER BY id FOR NO KEY UPDATE"

# Purpose: the same locks for tasks that are free, and the names of the others. Index: primary key. Locks: the rows,
# in the order of their ids; one that somebody else holds is left to them.
LOCK_FREE_TASKS = """
WITH free AS MATERIALIZED (
    SELECT id FROM scheduling_task WHERE id = ANY(%(tasks)s::uuid[]) AND overlap <> 'allow'
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), shared AS MATERIALIZED (
    SELECT id FROM scheduling_task WHERE id = ANY(%(tasks)s::uuid[]) AND overlap = 'allow'
    ORDER BY id FOR KEY SHARE SKIP LOCKED
)
SELECT id FROM scheduling_task
WHERE id = ANY(%(tasks)s::uuid[]) AND id NOT IN (SELECT id FROM free UNION ALL SELECT id FROM shared)
"""

# Purpose: live and held runs of exclusive tasks, and how many of each a backfill has led to. Those that are held have
# the lowest priority then, so that of the others no run is read. Index: due_work_exclusive_idx; the primary key of
# runs, for each that is live. Locks: none; the tasks are locked.
LIVE_RUNS = """
SELECT work.task_id,
       count(*) FILTER (WHERE work.gate IS DISTINCT FROM 'overlap'),
       count(*) FILTER (WHERE work.gate = 'overlap'),
       count(*) FILTER (WHERE work.gate IS DISTINCT FROM 'overlap' AND (
           SELECT run.is_backfilled FROM scheduling_run run WHERE run.id = work.run_id
       )),
       count(*) FILTER (WHERE work.gate = 'overlap' AND work.priority = 9 AND (
           SELECT run.is_backfilled FROM scheduling_run run WHERE run.id = work.run_id
       ))
FROM scheduling_duework work
WHERE work.is_exclusive AND work.task_id = ANY(%s)
GROUP BY work.task_id
"""

# Purpose: how many held runs of paused tasks were queued before the pause, which holds them, and how many of those a
# backfill has led to, counted as above: they are not in the way of what is started by hand. Index:
# due_work_exclusive_idx; primary keys. Locks: none; the tasks are locked.
HELD_BY_PAUSE = """
SELECT work.task_id, count(*), count(*) FILTER (WHERE work.priority = 9 AND run.is_backfilled)
FROM scheduling_duework work
JOIN scheduling_task task ON task.id = work.task_id
JOIN scheduling_run run ON run.id = work.run_id
WHERE work.is_exclusive AND work.task_id = ANY(%s) AND work.gate = 'overlap'
  AND task.state = 'paused' AND run.created_at < task.paused_at
GROUP BY work.task_id
"""

# Purpose: the newest occurrence of a schedule that is live or waits in each of these tasks. Index:
# due_work_exclusive_idx; the primary key of runs. Locks: none; the tasks are locked.
NEWEST_OCCURRENCES = """
SELECT work.task_id, max(run.scheduled_for)
FROM scheduling_duework work JOIN scheduling_run run ON run.id = work.run_id
WHERE work.is_exclusive AND work.task_id = ANY(%s) AND run.trigger_kind = 'schedule'
GROUP BY work.task_id
"""

# Purpose: which of these occurrences have their run already. Index: run_occurrence_unique. Locks: none; whoever fires a
# schedule holds it.
KNOWN_OCCURRENCES = """
SELECT run.schedule_id, run.scheduled_for
FROM unnest(%s::uuid[], %s::timestamptz[]) AS asked (schedule_id, scheduled_for)
JOIN scheduling_run run USING (schedule_id, scheduled_for)
WHERE run.trigger_kind = 'schedule'
"""

# Purpose: give backfilled runs that nobody has claimed the priority of the starts that wait for their end: these would
# else wait behind everything that workers have to do. Index: due_work_exclusive_idx; the primary key of runs. Locks:
# those rows, by id; one that is being claimed is left.
HURRY_BACKFILLED = """
WITH late AS (
    SELECT work.run_id, (
        SELECT min(asked.priority) FROM unnest(%(tasks)s::uuid[], %(priorities)s::smallint[]) AS asked (task, priority)
        WHERE asked.task = work.task_id
    ) AS priority
    FROM scheduling_duework work
    WHERE work.is_exclusive AND work.task_id = ANY(%(tasks)s::uuid[]) AND work.gate IS DISTINCT FROM 'overlap'
      AND work.lease_owner IS NULL
      AND (SELECT run.is_backfilled FROM scheduling_run run WHERE run.id = work.run_id)
    ORDER BY work.run_id
    FOR NO KEY UPDATE OF work SKIP LOCKED
)
UPDATE scheduling_duework work SET priority = late.priority
FROM late WHERE work.run_id = late.run_id AND work.priority > late.priority
"""

# Purpose: end the runs of a task that no worker holds. A row that is being claimed is waited for and then left.
# Index: due_work_exclusive_idx. Locks: the due work it deletes.
CANCEL_UNLEASED = """
WITH ended AS (
    DELETE FROM scheduling_duework
    WHERE is_exclusive AND task_id = %(task)s AND lease_owner IS NULL
    RETURNING run_id
)
UPDATE scheduling_run SET state = 'canceled', finished_at = now()
FROM ended WHERE id = ended.run_id
"""

# Purpose: ask the workers that hold runs of a task to stop. Index: due_work_exclusive_idx. Locks: those rows.
REQUEST_CANCEL = """
UPDATE scheduling_duework SET cancel_requested_at = now()
WHERE is_exclusive AND task_id = %(task)s AND lease_owner IS NOT NULL AND cancel_requested_at IS NULL
RETURNING run_id
"""

# Purpose: which of these conditions are being checked right now. Index: run_check_live_idx, which those that were
# skipped are not in, however many. Locks: none.
LIVE_CHECKS = """
SELECT DISTINCT run.schedule_id
FROM scheduling_run run
WHERE run.schedule_id = ANY(%s::uuid[]) AND run.trigger_kind = 'check' AND run.state IN ('queued', 'waiting')
"""

# Purpose: take deduplication keys whose window is over. Index: dedupe_key_unique_for_task. Locks: the key's row.
TAKE_DEDUPE_KEYS = """
INSERT INTO scheduling_dedupekey (task_id, key, run_id, expires_at)
SELECT task_id, key, run_id, now() + span
FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::interval[]) AS asked (task_id, key, run_id, span)
ORDER BY task_id, key
ON CONFLICT (task_id, key) DO UPDATE SET run_id = EXCLUDED.run_id, expires_at = EXCLUDED.expires_at
    WHERE scheduling_dedupekey.expires_at <= now()
RETURNING run_id
"""

HOLDERS_OF_DEDUPE_KEYS = """
SELECT task_id, key, run_id FROM scheduling_dedupekey
JOIN unnest(%s::uuid[], %s::text[]) AS asked (task_id, key) USING (task_id, key)
"""

# Purpose: make sure the rows exist that admissions under a key lock. Locks: a key's row where its limit or its rate
# changed.
KNOW_KEYS = """
INSERT INTO scheduling_concurrencykey AS known (key, "limit", rate_limit, rate_period)
SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::interval[]) AS asked (key, "limit", rate_limit, rate_period)
ORDER BY 1
ON CONFLICT (key) DO UPDATE
SET "limit" = EXCLUDED."limit", rate_limit = EXCLUDED.rate_limit, rate_period = EXCLUDED.rate_period
    WHERE (known."limit", known.rate_limit, known.rate_period)
        IS DISTINCT FROM (EXCLUDED."limit", EXCLUDED.rate_limit, EXCLUDED.rate_period)
"""

# Purpose: runs with their due work. Index: run_occurrence_unique settles who made the run of an occurrence.
INSERT = """
WITH asked AS (
    SELECT * FROM unnest(
        %s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[], %s::text[],
        %s::text[], %s::bytea[], %s::bool[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::smallint[],
        %s::timestamptz[], %s::text[], %s::bool[], %s::text[], %s::bool[], %s::uuid[], %s::uuid[], %s::bool[]
    ) AS asked (
        id, task_id, revision_id, agent_id, schedule_id, trigger_kind, scheduled_for, state,
        skip_reason, params, simulated, parent_id, replay_of_id, triggered_by, queue, priority,
        available_at, gate, is_exclusive, concurrency_key, is_watched, event_id, backfill_id, is_backfilled
    )
), born AS (
    INSERT INTO scheduling_run (
        id, task_id, revision_id, agent_id, schedule_id, trigger_kind, scheduled_for, state, cause, skip_reason,
        attempt, params, simulated, parent_id, replay_of_id, triggered_by, created_at, finished_at, event_id,
        backfill_id, is_backfilled
    )
    SELECT id, task_id, revision_id, agent_id, schedule_id, trigger_kind, scheduled_for, state, '', skip_reason,
           1, params, simulated, parent_id, replay_of_id, triggered_by, now(),
           CASE WHEN state = 'skipped' THEN now() END, event_id, backfill_id, is_backfilled
    FROM asked
    ON CONFLICT DO NOTHING
    RETURNING id
), queued AS (
    INSERT INTO scheduling_duework (
        run_id, task_id, queue, priority, available_at, gate, attempt, claim_count, handback_count, death_count,
        is_suspect, is_exclusive, is_watched, concurrency_key, agent_id
    )
    SELECT id, task_id, queue, priority, COALESCE(available_at, now()), gate, 1, 0, 0, 0,
           false, is_exclusive, is_watched, concurrency_key,
           CASE WHEN queue IN (SELECT fair.name FROM scheduling_queue fair WHERE fair.is_fair) THEN agent_id END
    FROM asked JOIN born USING (id)
    WHERE state = 'queued'
)
SELECT id FROM born
"""
