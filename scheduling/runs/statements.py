"""The statements by which people and programs interfere with due work. Each returns what it has changed.

They delete or mark rows that a claim may want at the same instant: PostgreSQL makes the later one wait and look again,
so that a row which has become leased meanwhile is left alone.
"""

# Purpose: end one run that no worker holds. Index: primary key. Locks: the due work it deletes, then the run.
CANCEL_RUN = """
WITH ended AS (
    DELETE FROM scheduling_duework WHERE run_id = %s AND lease_owner IS NULL RETURNING run_id, task_id, concurrency_key
)
UPDATE scheduling_run run SET state = 'canceled', finished_at = now()
FROM ended WHERE run.id = ended.run_id
RETURNING ended.task_id, ended.concurrency_key
"""

# Purpose: end all runs of a task that no worker holds. Index: none, the queue is small and this is rare.
# Locks: the due work it deletes, then the runs.
CANCEL_RUNS_OF_TASK = """
WITH ended AS (
    DELETE FROM scheduling_duework WHERE task_id = %s AND lease_owner IS NULL RETURNING run_id, task_id, concurrency_key
)
UPDATE scheduling_run run SET state = 'canceled', finished_at = now()
FROM ended WHERE run.id = ended.run_id
RETURNING ended.task_id, ended.concurrency_key
"""

# Purpose: ask the worker that holds a run to stop. Index: primary key. Locks: the row.
REQUEST_CANCEL = """
UPDATE scheduling_duework SET cancel_requested_at = COALESCE(cancel_requested_at, now())
WHERE run_id = %s AND lease_owner IS NOT NULL
"""

# Purpose: hold what a paused task has queued. What waits behind `overlap` is held by the task's state already. There
# goes what nobody has begun, too, if the task forbids overlap: it is not in the way of what is started by hand
# meanwhile, nor beside it when the pause ends. Index: none, as above. Locks: the rows it holds.
HOLD_PAUSED = """
UPDATE scheduling_duework
SET gate = CASE WHEN is_exclusive AND claim_count <= handback_count THEN 'overlap' ELSE 'paused' END
WHERE task_id = %s AND lease_owner IS NULL AND (gate IS NULL OR gate = 'key')
"""

# Purpose: let a resumed task's work go on; keyed work queues for its key again, and what is suspected of a death is
# tried alone. Index: due_work_gate_idx.
RELEASE_PAUSED = """
UPDATE scheduling_duework
SET gate = CASE WHEN is_suspect THEN 'suspect' WHEN concurrency_key IS NOT NULL THEN 'key' END
WHERE gate = 'paused' AND task_id = %s
RETURNING queue, concurrency_key
"""

# Purpose: tell the ends of a task's live runs from now on. Index: none, as above. Locks: the rows it marks, by id, as
# workers do that settle many of them.
WATCH_RUNS = """
WITH held AS (
    SELECT run_id FROM scheduling_duework WHERE task_id = %s AND NOT is_watched ORDER BY run_id FOR NO KEY UPDATE
)
UPDATE scheduling_duework work SET is_watched = true FROM held WHERE work.run_id = held.run_id
"""

# Purpose: judge the live runs of a task by the overlap policy that it has now. Index: none, as above.
# Checks, and backfills that allow overlap, stand beside the others, whatever the policy.
MARK_EXCLUSIVE = """
UPDATE scheduling_duework work SET is_exclusive = %s
WHERE task_id = %s AND is_exclusive <> %s AND NOT EXISTS (
    SELECT FROM scheduling_run run LEFT JOIN scheduling_backfill backfill ON backfill.id = run.backfill_id
    WHERE run.id = work.run_id AND (backfill.overlap = 'allow' OR run.trigger_kind = 'check')
)
"""

# Purpose: put what nobody has begun back behind the overlap gate, when a task becomes exclusive; a pause keeps it there
# as well. What is parked, or sleeps before its next try, has begun: it was claimed and not handed back.
# Index: due_work_exclusive_idx. Locks: those rows.
HOLD_UNBEGUN = """
UPDATE scheduling_duework SET gate = 'overlap'
WHERE is_exclusive AND task_id = %s AND lease_owner IS NULL AND (gate IS NULL OR gate IN ('key', 'paused'))
  AND claim_count <= handback_count
"""

# Purpose: let held runs of a paused task that allows overlap wait for nothing but the end of the pause. Index: none, as
# above. Locks: the rows it opens.
LEAVE_TO_PAUSE = "UPDATE scheduling_duework SET gate = 'paused' WHERE task_id = %s AND gate = 'overlap'"

# Purpose: skip the held runs of a task past the first few, when its policy no longer lets them wait. The first is that
# which starts first: in a pause one that was started since, by hand, which does not wait for the end. What a backfill
# has queued waits for the others, whatever the policy, and is not among them. Their schedules have counted them as
# fired, and count them as skipped from now on; not those that were redriven, which have fired.
# Index: due_work_exclusive_idx; primary keys. Locks: the due work it deletes, the runs, the schedules, which its
# transaction has locked before.
SKIP_HELD = """
WITH ranked AS (
    SELECT held.run_id, row_number() OVER (
        ORDER BY task.state = 'paused' AND run.created_at < task.paused_at, held.available_at, held.run_id
    ) AS place
    FROM scheduling_duework held
    JOIN scheduling_task task ON task.id = held.task_id
    JOIN scheduling_run run ON run.id = held.run_id
    WHERE held.is_exclusive AND held.task_id = %s AND held.gate = 'overlap' AND NOT run.is_backfilled
), dropped AS (
    DELETE FROM scheduling_duework work USING ranked
    WHERE work.run_id = ranked.run_id AND ranked.place > %s AND work.gate = 'overlap'
    RETURNING work.run_id, work.redriven_at
), skipped AS (
    UPDATE scheduling_run run SET state = 'skipped', skip_reason = 'overlap', finished_at = now()
    FROM dropped WHERE run.id = dropped.run_id
    RETURNING run.schedule_id, dropped.redriven_at
), counted AS (
    SELECT schedule_id, count(*) AS runs FROM skipped
    WHERE schedule_id IS NOT NULL AND redriven_at IS NULL
    GROUP BY schedule_id
)
UPDATE scheduling_schedule schedule
SET fired_count = GREATEST(schedule.fired_count - counted.runs, 0),
    skipped_count = schedule.skipped_count + counted.runs
FROM counted WHERE schedule.id = counted.schedule_id
RETURNING schedule.id
"""

# Purpose: count the live runs of a task that have no key under one, those that nobody holds behind its gate. Checks
# have none. Index: none, as above. Locks: those rows.
JOIN_KEY = """
UPDATE scheduling_duework work
SET concurrency_key = %s, gate = CASE WHEN work.lease_owner IS NULL AND work.gate IS NULL THEN 'key' ELSE work.gate END
WHERE work.task_id = %s AND work.concurrency_key IS NULL AND NOT EXISTS (
    SELECT FROM scheduling_run run WHERE run.id = work.run_id AND run.trigger_kind = 'check'
)
"""

# Purpose: free the live runs of a task from a key. Index: none, as above. Locks: those rows.
LEAVE_KEY = """
UPDATE scheduling_duework SET concurrency_key = NULL, gate = NULLIF(gate, 'key')
WHERE task_id = %s AND concurrency_key = %s
RETURNING queue
"""
