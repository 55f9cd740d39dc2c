"""The plans of what a pass writes, and of the clock's smaller looks, among tables at a size at which a scan would hurt.

The planner compares: for a whole batch of 2,000 it reads a table of 100,000 schedules from end to end, and one of
400,000 by its index. So a few are asked for among many here, and under torture a batch among 400,000.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.backfills import pacing
from scheduling.clock import due, firing, strays
from scheduling.ids import new_id
from scheduling.models import Run, Schedule, Task
from scheduling.postgres import binary_cursor
from scheduling.runs import admission_statements as admission
from scheduling.runs.plain import FIRE_ALONE, FIRE_PLAIN, FIRE_PLAIN_WHEN_DUE
from tests.factories import BackfillFactory, DueWorkFactory, RunFactory, ScheduleFactory
from tests.population import copies_of

pytestmark = pytest.mark.django_db(transaction=True)

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
SIZES = [(50, 20_000), *([(2000, 400_000)] if "ORDINAUT_TEST_TORTURE_SEED" in os.environ else [])]
LARGE = {
    "scheduling_schedule",
    "scheduling_task",
    "scheduling_run",
    "scheduling_duework",
    "scheduling_miss",
    "scheduling_backfill",
}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scanned(statement: str, parameters: Any) -> set[str]:
    """The large tables that the plan reads from end to end."""
    with transaction.atomic(), binary_cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        ((document,),) = cursor.fetchall()
    return {node["Relation Name"] for node in nodes(document[0]["Plan"]) if node["Node Type"] == "Seq Scan"} & LARGE


@pytest.mark.parametrize(("batch", "rows"), SIZES)
def test_no_statement_of_a_pass_reads_a_large_table_from_end_to_end(batch: int, rows: int) -> None:
    schedule = ScheduleFactory(next_fire_at=NINE)
    task = schedule.task
    copies_of(task, rows, key="'copy-' || n")
    copies_of(schedule, rows, next_fire_at="next_fire_at + n * interval '1 minute'")
    run = RunFactory(task=task, schedule=schedule, trigger_kind="schedule", scheduled_for=NINE)
    copies_of(run, rows, scheduled_for="scheduled_for + (n + 1) * interval '1 minute'", schedule_id="gen_random_uuid()")
    copies_of(DueWorkFactory(run=run), rows, run_id="gen_random_uuid()", task_id="gen_random_uuid()")
    backfill = BackfillFactory(schedule=schedule, state="completed")
    copies_of(backfill, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO scheduling_miss (schedule_id, first_at, last_at, count, is_at_least, reason, recorded_at)"
            " SELECT id, now(), now(), 1, false, 'policy_skip', now() FROM scheduling_schedule"
        )
        cursor.execute(f"VACUUM (ANALYZE) {', '.join(sorted(LARGE))}")
    schedules = list(Schedule.objects.order_by("next_fire_at").values_list("id", flat=True)[:batch])
    tasks = list(Task.objects.values_list("id", flat=True)[:batch])
    planned = {
        "ids": schedules,
        "versions": [1] * batch,
        "run_ids": [new_id() for _ in schedules],
        "scheduled_for": [NINE] * batch,
        "available_at": [NINE] * batch,
        "next_fire_at": [NINE + timedelta(days=1)] * batch,
    }
    moved = [schedules, [NINE] * batch, [NINE] * batch, [1] * batch, [0] * batch, [0] * batch]

    read = {
        "FIRE_PLAIN": scanned(FIRE_PLAIN, planned),
        "FIRE_PLAIN_WHEN_DUE": scanned(FIRE_PLAIN_WHEN_DUE, planned),
        "FIRE_ALONE": scanned(FIRE_ALONE, planned),
        "LOCK_PLANNED": scanned(firing._LOCK_PLANNED, [schedules, [1] * batch]),
        "ADVANCE": scanned(firing._ADVANCE, moved),
        "LOCK_FREE_TASKS": scanned(admission.LOCK_FREE_TASKS, {"tasks": tasks}),
        "SHARE_OTHER_TASKS": scanned(admission.SHARE_OTHER_TASKS, [tasks]),
        "LOCK_EXCLUSIVE_TASKS": scanned(admission.LOCK_EXCLUSIVE_TASKS, [tasks]),
        "LIVE_RUNS": scanned(admission.LIVE_RUNS, [tasks]),
        "LIVE_CHECKS": scanned(admission.LIVE_CHECKS, [schedules]),
        "TO_COME": scanned(due._TO_COME, None),
        "SETTLED_UNTIL": scanned(strays._SETTLED_UNTIL, [schedule.pk]),
        "READ_RUNNING": scanned(pacing._READ_RUNNING, {"at": None, "id": None, "page": 20}),
    }

    assert Run.objects.count() > rows
    assert {name: tables for name, tables in read.items() if tables} == {}


@pytest.mark.parametrize("overlap", ["allow", "skip"])
@pytest.mark.parametrize("maximum", [None, 1_000_000])
def test_a_batch_is_not_joined_with_itself_one_by_one(overlap: str, maximum: int | None) -> None:
    """Where the planner expects few of the rows, it compares each of them with each."""
    batch = 1000
    schedule = ScheduleFactory(next_fire_at=NINE, max_occurrences=maximum, task__overlap=overlap)
    copies_of(schedule.task, batch - 1, key="'copy-' || n")
    copies_of(schedule, batch - 1)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) scheduling_schedule, scheduling_task")
    planned = {
        "ids": list(Schedule.objects.values_list("id", flat=True)),
        "versions": [1] * batch,
        "run_ids": [new_id() for _ in range(batch)],
        "scheduled_for": [NINE] * batch,
        "available_at": [NINE] * batch,
        "next_fire_at": [NINE + timedelta(days=1)] * batch,
    }

    with transaction.atomic(), binary_cursor() as cursor:
        statement = FIRE_PLAIN if overlap == "allow" else FIRE_ALONE
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", planned)
        ((document,),) = cursor.fetchall()
        transaction.set_rollback(True)

    compared = sum(
        node.get("Rows Removed by Join Filter", 0) * node["Actual Loops"] for node in nodes(document[0]["Plan"])
    )
    assert compared < 10 * batch
