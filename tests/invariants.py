"""The invariants that hold for any finished history: each is a query that returns the rows which break it.

Every crash test and the torture driver end by calling `broken_invariants`. The names are those of the design.
"""

from django.db import connection

_QUERIES = {
    "an occurrence has one run": """
        SELECT schedule_id, scheduled_for, count(*) FROM scheduling_run
        WHERE trigger_kind = 'schedule' GROUP BY 1, 2 HAVING count(*) > 1
    """,
    "a finished step is finished once": """
        SELECT run_id, path, count(*) FROM workers_steprun
        WHERE state = 'succeeded' GROUP BY 1, 2 HAVING count(*) > 1
    """,
    "a live run has due work": """
        SELECT run.id, run.state FROM scheduling_run run
        WHERE run.state IN ('queued', 'running', 'waiting')
          AND NOT EXISTS (SELECT FROM scheduling_duework work WHERE work.run_id = run.id)
    """,
    "due work belongs to a live run": """
        SELECT work.run_id, run.state FROM scheduling_duework work
        LEFT JOIN scheduling_run run ON run.id = work.run_id
        WHERE run.id IS NULL OR run.state NOT IN ('queued', 'running', 'waiting')
    """,
    "an ended run has its end": """
        SELECT id, state FROM scheduling_run
        WHERE state IN ('succeeded', 'failed', 'canceled', 'skipped') AND finished_at IS NULL
    """,
    "a succeeded run has no open intent": """
        SELECT step.run_id, step.path FROM workers_steprun step JOIN scheduling_run run ON run.id = step.run_id
        WHERE run.state = 'succeeded' AND step.state = 'started'
    """,
    "a lease belongs to a living worker": """
        SELECT work.run_id, worker.state FROM scheduling_duework work
        LEFT JOIN workers_worker worker ON worker.boot_id = work.lease_owner
        WHERE work.lease_owner IS NOT NULL AND (worker.boot_id IS NULL OR worker.state IN ('lost', 'stopped'))
    """,
    "no key exceeds its limit": """
        SELECT key.key, count(*) FROM scheduling_concurrencykey key
        JOIN scheduling_duework work ON work.concurrency_key = key.key
        WHERE work.gate IS NULL OR work.gate = 'suspect'
        GROUP BY key.key, key."limit" HAVING count(*) > key."limit"
    """,
    "a task that forbids overlap has one live run": """
        SELECT work.task_id, count(*) FROM scheduling_duework work JOIN scheduling_task task ON task.id = work.task_id
        WHERE task.overlap <> 'allow' AND work.is_exclusive AND work.gate IS DISTINCT FROM 'overlap'
        GROUP BY work.task_id HAVING count(*) > 1
    """,
    "a live run is judged by its task's policy": """
        SELECT work.run_id, work.task_id FROM scheduling_duework work
        JOIN scheduling_task task ON task.id = work.task_id
        JOIN scheduling_run run ON run.id = work.run_id
        LEFT JOIN scheduling_backfill backfill ON backfill.id = run.backfill_id
        WHERE task.overlap <> 'allow' AND NOT work.is_exclusive
          AND run.trigger_kind <> 'check' AND backfill.overlap IS DISTINCT FROM 'allow'
    """,
    "nothing is held where nothing is live": """
        SELECT held.run_id, held.task_id FROM scheduling_duework held
        JOIN scheduling_task task ON task.id = held.task_id
        JOIN scheduling_run run ON run.id = held.run_id
        WHERE held.gate = 'overlap'
          AND (task.state = 'active' OR (task.state = 'paused' AND run.created_at >= task.paused_at))
          AND NOT EXISTS (
            SELECT FROM scheduling_duework live
            WHERE live.task_id = held.task_id AND live.is_exclusive AND live.gate IS DISTINCT FROM 'overlap'
        )
    """,
    "what is held is held by its task's policy": """
        SELECT held.run_id, held.task_id FROM scheduling_duework held
        JOIN scheduling_task task ON task.id = held.task_id
        WHERE held.gate = 'overlap' AND (task.overlap = 'allow' OR NOT held.is_exclusive)
    """,
    "what a pause holds waits for its end": """
        SELECT work.run_id, work.task_id FROM scheduling_duework work
        JOIN scheduling_task task ON task.id = work.task_id
        WHERE work.gate = 'paused' AND task.state <> 'paused'
    """,
    "a run's rows are whole": """
        SELECT run.id FROM scheduling_run run
        LEFT JOIN scheduling_task task ON task.id = run.task_id
        LEFT JOIN scheduling_taskrevision revision ON revision.id = run.revision_id AND revision.task_id = run.task_id
        WHERE task.id IS NULL OR revision.id IS NULL
    """,
    "a run that is named is there": """
        SELECT run.id, run.parent_id, run.replay_of_id, run.event_id FROM scheduling_run run
        LEFT JOIN scheduling_run parent ON parent.id = run.parent_id
        LEFT JOIN scheduling_run source ON source.id = run.replay_of_id
        LEFT JOIN scheduling_event event ON event.id = run.event_id
        WHERE (run.parent_id IS NOT NULL AND parent.id IS NULL)
           OR (run.replay_of_id IS NOT NULL AND source.id IS NULL)
           OR (run.event_id IS NOT NULL AND event.id IS NULL)
    """,
    "a wait belongs to a run": """
        SELECT wait.id, wait.run_id FROM workers_wait wait
        LEFT JOIN scheduling_run run ON run.id = wait.run_id WHERE run.id IS NULL
    """,
    "a question belongs to a run": """
        SELECT question.id, question.run_id FROM workers_question question
        LEFT JOIN scheduling_run run ON run.id = question.run_id WHERE run.id IS NULL
    """,
    "an open question belongs to a step that has started": """
        SELECT question.id, question.run_id, question.path FROM workers_question question
        LEFT JOIN workers_steprun step
            ON step.run_id = question.run_id AND step.path = question.path AND step.attempt = question.attempt
        WHERE question.closed_at IS NULL AND step.state IS DISTINCT FROM 'started'
    """,
    "a run that another has started is noted once": """
        SELECT run.id, run.parent_id, count(question.id) FROM scheduling_run run
        LEFT JOIN workers_question question ON question.subject_id = run.id AND question.kind = 'run'
        WHERE run.trigger_kind = 'run' AND run.parent_id IS NOT NULL
        GROUP BY run.id HAVING count(question.id) <> 1
    """,
    "an event answers a step once": """
        SELECT run_id, subject_id, path, count(*) FROM workers_question
        WHERE kind = 'event' AND subject_id IS NOT NULL GROUP BY 1, 2, 3 HAVING count(*) > 1
    """,
    "an artifact that a step names is there": """
        SELECT step.run_id, step.path, step.output_artifact FROM workers_steprun step
        LEFT JOIN workers_artifact artifact ON artifact.digest = step.output_artifact
        WHERE step.output_artifact <> '' AND artifact.digest IS NULL
    """,
    "a step belongs to a run": """
        SELECT step.id FROM workers_steprun step
        LEFT JOIN scheduling_run run ON run.id = step.run_id WHERE run.id IS NULL
    """,
}


def broken_invariants() -> dict[str, list[tuple[object, ...]]]:
    """The broken invariants with at most ten offending rows each; empty where all hold."""
    broken: dict[str, list[tuple[object, ...]]] = {}
    with connection.cursor() as cursor:
        for name, query in _QUERIES.items():
            cursor.execute(f"{query} LIMIT 10")
            if rows := cursor.fetchall():
                broken[name] = rows
    return broken
