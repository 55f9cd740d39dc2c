"""Rows for the clock's benchmarks: tasks and schedules by the hundred thousand, written by SQL."""

from datetime import datetime
from typing import Any

# A population of rules that all name 08:00:00 UTC on the first of June 2026, among other instants.
DUE_AT = "2026-06-01T08:00:00+00:00"
RULES = [
    ("cron", "0 8 * * *", "UTC"),
    ("cron", "*/5 * * * *", "Europe/Chisinau"),
    ("cron", "0 10 * * 1-5", "Europe/Berlin"),
    ("cron", "0 4 1 * *", "America/New_York"),
    ("rrule", "FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=11;BYMINUTE=0;BYSECOND=0", "Europe/Chisinau"),
    ("rrule", "FREQ=DAILY;BYHOUR=8,20;BYMINUTE=0;BYSECOND=0", "UTC"),
    ("rrule", "FREQ=MINUTELY;INTERVAL=20", "Asia/Tokyo"),
    ("rrule", "FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=17;BYMINUTE=0;BYSECOND=0", "Asia/Tokyo"),
    ("interval", "PT15M", "UTC"),
    ("once", "2026-06-01T08:00:00Z", "UTC"),
]

# What schedules may have that a plain start has not, as changes of all tasks and of all schedules.
POLICIES = {
    "overlap skip": ("overlap = 'skip'", "max_occurrences = NULL"),
    "overlap cancel_running": ("overlap = 'cancel_running'", "max_occurrences = NULL"),
    "a maximum": ("overlap = 'allow'", "max_occurrences = 1000000"),
    "a concurrency key": ("overlap = 'allow', concurrency_key = 'k', concurrency_limit = 3", "max_occurrences = NULL"),
}


def make_tasks(cursor: Any, count: int, *, document: bytes = b'{"version":1,"steps":[]}') -> None:
    """`count` tasks of one agent, each with one revision of `document`."""
    cursor.execute(
        """
        WITH agent AS (
            INSERT INTO scheduling_agent (id, name, description, scopes, max_tasks, requests_per_minute,
                                          minimum_interval)
            VALUES (gen_random_uuid(), 'bench', '', '{}', 1000000, 600, '0')
            RETURNING id
        )
        INSERT INTO scheduling_task (id, agent_id, key, title, description, state, pause_reason, params, simulate,
                                     priority, queue, overlap, retry, concurrency_key, dedupe_key, labels, version)
        SELECT gen_random_uuid(), agent.id, 'task-' || n, 'Task', '', 'active', '', '{}', false,
               5, 'default', 'allow', '{}', '', '', '{}', 1
        FROM agent, generate_series(1, %s) AS n
        """,
        [count],
    )
    cursor.execute(
        """
        INSERT INTO scheduling_taskrevision (id, task_id, purpose, number, document, digest, created_by)
        SELECT gen_random_uuid(), id, 'pipeline', 1, %s, repeat('0', 64), 'bench'
        FROM scheduling_task
        """,
        [document],
    )
    cursor.execute(
        "UPDATE scheduling_task task SET current_revision_id = revision.id "
        "FROM scheduling_taskrevision revision WHERE revision.task_id = task.id"
    )


def make_schedules(cursor: Any, count: int, *, due_at: datetime | str) -> None:
    """`count` schedules over all tasks, all with their mark at `due_at`, their anchors ten years old."""
    cursor.execute(
        """
        WITH task AS (SELECT id, row_number() OVER () - 1 AS place FROM scheduling_task),
             rule AS (
                 SELECT *, ordinality - 1 AS place
                 FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY
                     AS rule (kind, expression, timezone)
             )
        INSERT INTO scheduling_schedule (
            id, task_id, kind, expression, timezone, starts_at, exdates, rdates, calendars, jitter, misfire_policy,
            misfire_grace, misfire_limit, gap, fold, filter, state, state_reason, next_fire_at, fired_count,
            missed_count, skipped_count, version
        )
        SELECT gen_random_uuid(), task.id, rule.kind, rule.expression, rule.timezone,
               '2016-06-01'::timestamp + (n %% 997) * interval '1 day',
               '{}', '{}', '{}', '0', 'last', '60 s', 100, '', '', '', 'active', '', %s::timestamptz, 0, 0, 0, 1
        FROM generate_series(0, %s - 1) AS n
        JOIN task ON task.place = n %% (SELECT count(*) FROM scheduling_task)
        JOIN rule ON rule.place = n %% %s
        """,
        [*(list(column) for column in zip(*RULES, strict=True)), due_at, count, len(RULES)],
    )
    cursor.execute("VACUUM (ANALYZE) scheduling_schedule, scheduling_task")


def make_single_firings(cursor: Any, instants: list[datetime]) -> None:
    """A schedule of kind `once` for each instant, over all tasks."""
    cursor.execute(
        """
        WITH task AS (SELECT id, row_number() OVER () - 1 AS place FROM scheduling_task)
        INSERT INTO scheduling_schedule (
            id, task_id, kind, expression, timezone, starts_at, exdates, rdates, calendars, jitter, misfire_policy,
            misfire_grace, misfire_limit, gap, fold, filter, state, state_reason, next_fire_at, fired_count,
            missed_count, skipped_count, version
        )
        SELECT gen_random_uuid(), task.id, 'once', given.expression, 'UTC', '2016-06-01', '{}', '{}', '{}', '0', 'last',
               '1 hour', 100, '', '', '', 'active', '', given.at, 0, 0, 0, 1
        FROM unnest(%s::timestamptz[], %s::text[]) WITH ORDINALITY AS given (at, expression, ordinality)
        JOIN task ON task.place = given.ordinality %% (SELECT count(*) FROM scheduling_task)
        """,
        [instants, [instant.isoformat() for instant in instants]],
    )
    cursor.execute("VACUUM (ANALYZE) scheduling_schedule, scheduling_task")


def change(cursor: Any, changes: tuple[str, str]) -> None:
    """Give all tasks and all schedules these values."""
    of_tasks, of_schedules = changes
    cursor.execute(f"UPDATE scheduling_task SET {of_tasks}")  # noqa: S608 (of POLICIES)
    cursor.execute(f"UPDATE scheduling_schedule SET {of_schedules}")  # noqa: S608
    cursor.execute("VACUUM (ANALYZE) scheduling_schedule, scheduling_task")


def forget_all(cursor: Any) -> None:
    """Back to an empty database."""
    cursor.execute("TRUNCATE scheduling_agent CASCADE")
    cursor.execute("TRUNCATE scheduling_task, scheduling_taskrevision, scheduling_schedule CASCADE")
    cursor.execute("TRUNCATE scheduling_run, scheduling_duework, scheduling_miss CASCADE")


def forget_runs(cursor: Any, *, due_at: datetime | str) -> None:
    """Back to before the firing."""
    cursor.execute("TRUNCATE scheduling_run, scheduling_duework, scheduling_miss CASCADE")
    cursor.execute(
        "UPDATE scheduling_schedule SET next_fire_at = %s, state = 'active', fired_count = 0, missed_count = 0",
        [due_at],
    )
    cursor.execute("VACUUM (ANALYZE) scheduling_schedule")
    cursor.execute("CHECKPOINT")
