"""Admission where there is nothing to decide, by one statement for thousands of starts.

Most starts of a busy clock are such: those of schedules whose tasks allow overlap and have no keys (*plain*), and those
of tasks that allow none, have no keys, and of which nothing is live or waits (*alone*). The statement locks the
schedules that still are as they were planned, writes their runs and due work from their tasks' rows, and moves their
marks. What it takes for granted it asks again: a start for which that has changed meanwhile is not among those it
writes, and its schedule stays due.

Plain starts lock no task: 100,000 firings would write to their tasks' rows as well. An edit of what they take for
granted locks the task's schedules instead, and gives each its next version: firings that have begun are waited for, all
others find the schedule locked or their plan void. The others lock their tasks, in a statement before this one, so that
it sees what other starters have committed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from scheduling.ids import new_id
from scheduling.wakeup import DUE_CHANNEL, after_commit

# So many at once are fired by a plan that is kept; one that was made for few rows would not do for thousands.
FEW = 32

# Purpose: fire plain schedules, one occurrence each, and tell of each queue how many are moved on and how many runs
# that made; then, in a row without a queue, which schedules are as planned and yet not plain. Index: primary keys;
# run_occurrence_unique settles who made the run; schedule_after_idx for who follows. Locks: the schedules, in the order
# of their ids; one that somebody else holds is left to them. That a maximum has a run left is not asked, since its
# version says so: to ask made the planner expect so few rows that it joined 2,000 with 2,000 one by one.
FIRE_PLAIN = """
WITH planned AS (
    SELECT * FROM unnest(
        %(ids)b::uuid[], %(versions)b::bigint[], %(run_ids)b::uuid[], %(scheduled_for)b::timestamptz[],
        %(available_at)b::timestamptz[], %(next_fire_at)b::timestamptz[]
    ) AS planned (id, version, run_id, scheduled_for, available_at, next_fire_at)
), locked AS MATERIALIZED (
    SELECT schedule.id, schedule.task_id, schedule.fired_count, schedule.max_occurrences,
           planned.run_id, planned.scheduled_for, planned.available_at, planned.next_fire_at
    FROM scheduling_schedule schedule JOIN planned USING (id)
    WHERE schedule.version = planned.version AND schedule.state = 'active' AND schedule.held_at IS NULL
    ORDER BY schedule.id
    FOR NO KEY UPDATE OF schedule SKIP LOCKED
), plain AS MATERIALIZED (
    SELECT locked.*, task.current_revision_id, task.agent_id, task.params, task.simulate, task.queue, task.priority,
           task.overlap <> 'allow' AS is_exclusive,
           task.pause_after_failures IS NOT NULL
               OR EXISTS (SELECT FROM scheduling_schedule follower WHERE follower.after_task_id = task.id)
               AS is_watched
    FROM locked JOIN scheduling_task task ON task.id = locked.task_id
    WHERE task.overlap = 'allow' AND task.concurrency_key = '' AND task.dedupe_key = ''
), born AS (
    INSERT INTO scheduling_run (
        id, task_id, revision_id, agent_id, schedule_id, trigger_kind, scheduled_for, state, cause, skip_reason,
        attempt, params, simulated, triggered_by, created_at
    )
    SELECT run_id, task_id, current_revision_id, agent_id, id, 'schedule', scheduled_for, 'queued', '', '',
           1, NULLIF(params, '{}'::bytea), simulate, '', now()
    FROM plain
    ON CONFLICT DO NOTHING
    RETURNING id
), queued AS (
    INSERT INTO scheduling_duework (
        run_id, task_id, queue, priority, available_at, attempt, claim_count, handback_count, death_count,
        is_suspect, is_exclusive, is_watched, agent_id
    )
    SELECT run_id, task_id, queue, priority, available_at, 1, 0, 0, 0, false, is_exclusive, is_watched,
           CASE WHEN queue IN (SELECT fair.name FROM scheduling_queue fair WHERE fair.is_fair) THEN agent_id END
    FROM plain JOIN born ON born.id = plain.run_id
), counted AS (
    SELECT plain.id, plain.scheduled_for, plain.next_fire_at, plain.max_occurrences,
           plain.fired_count + CASE WHEN born.id IS NULL THEN 0 ELSE 1 END AS fired_count
    FROM plain LEFT JOIN born ON born.id = plain.run_id
), moved AS (
    UPDATE scheduling_schedule schedule
    SET next_fire_at = CASE WHEN counted.fired_count >= counted.max_occurrences THEN NULL ELSE counted.next_fire_at END,
        state = CASE
            WHEN counted.next_fire_at IS NULL OR counted.fired_count >= counted.max_occurrences
            THEN 'completed' ELSE schedule.state
        END,
        last_fired_at = counted.scheduled_for,
        fired_count = counted.fired_count,
        version = schedule.version + 1
    FROM counted
    WHERE schedule.id = counted.id
)
SELECT plain.queue, count(*), count(born.id), NULL::uuid[]
FROM plain LEFT JOIN born ON born.id = plain.run_id
GROUP BY plain.queue
UNION ALL
SELECT NULL, 0, 0, array_agg(id) FROM (SELECT id FROM locked EXCEPT SELECT id FROM plain) AS other
"""

# The same for plans that were made before their instant. Whoever slept past it, and not only for a moment, has plans
# that say nothing of misfires; statement_timestamp() is no earlier than the sleeper's arrival.
FIRE_PLAIN_WHEN_DUE = FIRE_PLAIN.replace(
    "AND schedule.held_at IS NULL\n",
    "AND schedule.held_at IS NULL AND schedule.next_fire_at <= statement_timestamp()\n"
    "      AND schedule.next_fire_at > statement_timestamp() - LEAST(interval '1 s', schedule.misfire_grace)\n",
)

# The same for tasks that allow no overlap, whose rows the transaction holds, and of which nothing is live or waits for
# its turn. Index: due_work_exclusive_idx besides.
FIRE_ALONE = FIRE_PLAIN.replace(
    "WHERE task.overlap = 'allow' AND",
    "WHERE task.overlap <> 'allow' AND NOT EXISTS (\n"
    "            SELECT FROM scheduling_duework work WHERE work.is_exclusive AND work.task_id = task.id\n"
    "        ) AND",
)


@dataclass(frozen=True, slots=True)
class PlainStart:
    """One occurrence of one schedule, as planned from its `version`, and where the mark goes (None: nowhere more)."""

    schedule_id: UUID
    version: int
    scheduled_for: datetime
    available_at: datetime
    next_fire_at: datetime | None


@dataclass(frozen=True, slots=True)
class PlainFired:
    """How many schedules were still as planned and are moved on, how many runs that made, and which of those that were
    still as planned are left to somebody who decides."""

    schedules: int
    runs: int
    undecided: frozenset[UUID] = frozenset()


def fire_plain(cursor: Any, starts: Sequence[PlainStart], *, only_when_due: bool = False) -> PlainFired:
    """Admit plain starts and move the marks, in the open transaction or, without one, in the statement's own.

    `cursor` is a `binary_cursor`. `only_when_due`: leave alone what is not due yet by the database's clock, or has been
    for more than a second or its grace. Wakes the workers of the queues after the commit.
    """
    return _fire(cursor, FIRE_PLAIN_WHEN_DUE if only_when_due else FIRE_PLAIN, starts)


def fire_alone(cursor: Any, starts: Sequence[PlainStart]) -> PlainFired:
    """The same for starts of exclusive tasks, at most one of each task. Requires a transaction that has locked the
    tasks in an earlier statement (`scheduling.runs.admission.lock_free_tasks`)."""
    return _fire(cursor, FIRE_ALONE, starts)


def _fire(cursor: Any, statement: str, starts: Sequence[PlainStart]) -> PlainFired:
    cursor.execute(
        statement,
        {
            "ids": [start.schedule_id for start in starts],
            "versions": [start.version for start in starts],
            "run_ids": [new_id() for _ in starts],
            "scheduled_for": [start.scheduled_for for start in starts],
            "available_at": [start.available_at for start in starts],
            "next_fire_at": [start.next_fire_at for start in starts],
        },
        prepare=len(starts) <= FEW,
    )
    rows = cursor.fetchall()
    for queue, _, runs, _ in rows:
        if runs:
            after_commit(DUE_CHANNEL, queue)
    return PlainFired(
        schedules=sum(row[1] for row in rows),
        runs=sum(row[2] for row in rows),
        undecided=frozenset(each for row in rows for each in row[3] or ()),
    )
