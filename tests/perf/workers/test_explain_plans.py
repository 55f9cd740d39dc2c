"""The statements behind an explanation, over a queue large enough to tempt the planner."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from tests.factories import TaskFactory
from workers import standing

pytestmark = pytest.mark.django_db(transaction=True)

_FILL = """
INSERT INTO scheduling_duework (
    run_id, task_id, queue, priority, available_at, gate, attempt, claim_count, handback_count, death_count, is_suspect,
    is_exclusive, concurrency_key, agent_id
)
SELECT gen_random_uuid(), %(task)s, %(queue)s, 1 + n %% 9, now() - interval '1 day' + n * interval '1 millisecond',
    %(gate)s, 1, 0, 0, 0, false, %(exclusive)s, %(key)s, %(agent)s
FROM generate_series(1, %(rows)s) AS n
"""
ROWS = 100_000
AGENT = uuid.UUID(int=7)
PLACE = datetime(2100, 1, 1, tzinfo=UTC)


def make_crowd():
    """Rows due, rows behind a key, and rows that an exclusive task holds back, analysed."""
    task = TaskFactory(overlap="queue_all")
    with connection.cursor() as cursor:
        for gate, exclusive, key in ((None, False, None), ("key", False, "a:mail"), ("overlap", True, None)):
            row = {"task": task.pk, "gate": gate, "exclusive": exclusive, "key": key, "rows": ROWS}
            cursor.execute(_FILL, {**row, "queue": "default", "agent": None})
        row = {"task": task.pk, "gate": None, "exclusive": False, "key": None, "rows": ROWS}
        cursor.execute(_FILL, {**row, "queue": "fair", "agent": AGENT})
        cursor.execute("ANALYZE scheduling_duework")
    return task


def plan_of(statement, parameters):
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
        return cursor.fetchone()[0][0]["Plan"]


def indexes(plan):
    found = {plan["Index Name"]} if "Index Name" in plan else set()
    assert plan["Node Type"] != "Seq Scan"
    return found.union(*(indexes(child) for child in plan.get("Plans", ())))


LINES: list[tuple[str, dict[str, Any], str]] = [
    ("_AHEAD_IN_QUEUE", {"queue": "default", "place": PLACE, "run": uuid.UUID(int=0)}, "due_work_claim_idx"),
    ("_AHEAD_OF_AGENT", {"queue": "fair", "agent": AGENT, "place": PLACE, "run": AGENT}, "due_work_fair_idx"),
    ("_AHEAD_FOR_KEY", {"key": "a:mail", "place": PLACE, "run": uuid.UUID(int=0)}, "due_work_key_waiting_idx"),
    ("_HOLDERS_OF_KEY", {"key": "a:mail"}, "due_work_key_held_idx"),
]


def test_a_line_is_counted_by_its_index_and_no_further_than_a_thousand():
    """All over one crowd, which takes longer to make than to ask."""
    task = make_crowd()
    held = {"task": task.pk, "available_at": PLACE, "run": task.pk}

    for statement, parameters, index in [*LINES, ("_HELD_BEFORE", held, "due_work_exclusive_idx")]:
        plan = plan_of(getattr(standing, statement), {**parameters, "most": standing.COUNTED})

        assert indexes(plan) == {index}, statement
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1200, statement
