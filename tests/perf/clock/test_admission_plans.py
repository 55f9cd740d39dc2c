"""What admission does about many tasks with many occurrences each: its cost grows with them, and not with their square.

The planner knows nothing about rows of the same transaction: whatever it believes, the statements must not scan the
rows of all tasks for each of them.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.clock.firing import run_pass
from scheduling.clock.planned import PassResult
from scheduling.ids import new_id
from scheduling.models import DueWork, Run, Task
from scheduling.runs.admission import Start, admit
from scheduling.runs.admission_statements import HURRY_BACKFILLED, LIVE_RUNS
from scheduling.runs.gates import OPEN_KEYS, OPEN_OVERLAP
from scheduling.runs.states import TriggerKind
from tests.factories import AgentFactory, RunFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)

SHAPES = [(40, 50), (5, 1000)]
# What of a burst becomes a run under each policy, of so many occurrences of one task.
RUNS = {"skip": lambda _: 1, "queue_one": lambda _: 2, "queue_all": lambda each: each, "cancel_running": lambda _: 1}


def fill(tasks: Sequence[Task], each: int, **fields: Any) -> None:
    """One live run of each task, and held ones behind it, as an admission would have just written them."""
    now = datetime.now(UTC)
    values = {"queue": "default", "priority": 5, "is_exclusive": True, **fields}
    DueWork.objects.bulk_create(
        DueWork(
            run_id=new_id(),
            task=task,
            available_at=now - timedelta(seconds=each - number),
            **{"gate": "overlap" if number else None, **values},
        )
        for task in tasks
        for number in range(each)
    )


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def explained(statement: str, parameters: Any) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
        ((document,),) = cursor.fetchall()
    return document[0]["Plan"]


def looked_at(plan: dict[str, Any]) -> int:
    """Rows of due work that the plan has read, those it threw away among them."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
        * node["Actual Loops"]
        for node in nodes(plan)
        if node.get("Relation Name") == "scheduling_duework" and "Scan" in node["Node Type"]
    )


@pytest.fixture
def statistics_of_a_quiet_hour() -> None:
    """Nothing is held, no run is exclusive: of either the planner then expects one row."""
    fill([TaskFactory()], 500, gate=None, is_exclusive=False)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) scheduling_duework, scheduling_run, scheduling_task")


@pytest.mark.usefixtures("statistics_of_a_quiet_hour")
@pytest.mark.parametrize(("many", "each"), SHAPES)
def test_the_live_runs_of_rows_that_were_just_written_are_counted_in_one_walk(many: int, each: int) -> None:
    """And of these alone it is asked whether a backfill made them."""
    tasks = [TaskFactory(overlap="skip") for _ in range(many)]
    ids = [task.pk for task in tasks]
    ended = RunFactory(task=tasks[0])
    Run.objects.bulk_create(
        RunFactory.build(task=ended.task, agent=ended.agent, revision=ended.revision) for _ in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE scheduling_run")
    with transaction.atomic():
        fill(tasks, each)
        counted = explained(LIVE_RUNS, [ids])
        hurried = explained(HURRY_BACKFILLED, {"tasks": ids, "priorities": [1] * many})

    for plan in (counted, hurried):
        assert looked_at(plan) <= 2 * many * each + 500
        runs = [node for node in nodes(plan) if node.get("Relation Name") == "scheduling_run"]
        assert {node["Node Type"] for node in runs} <= {"Index Scan"}
        assert sum(node["Actual Loops"] for node in runs) <= many


@pytest.mark.usefixtures("statistics_of_a_quiet_hour")
@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize(("many", "each"), SHAPES)
def test_the_overlap_gates_of_rows_that_were_just_written_are_opened_in_one_walk(
    many: int, each: int, is_live: bool
) -> None:
    agent = AgentFactory()
    tasks = [TaskFactory(agent=agent, overlap="queue_all") for _ in range(many)]
    with transaction.atomic():
        fill(tasks, each)
        if not is_live:
            DueWork.objects.filter(is_exclusive=True, gate=None).delete()
        plan = explained(OPEN_OVERLAP, [[task.pk for task in tasks]])

    assert looked_at(plan) <= 3 * many * each
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 6 * many * each
    assert DueWork.objects.filter(is_exclusive=True, gate=None).count() == many


@pytest.mark.usefixtures("statistics_of_a_quiet_hour")
def test_the_gates_of_keys_whose_rows_were_just_written_are_opened_in_one_walk() -> None:
    task = TaskFactory(concurrency_key="k", concurrency_limit=1)
    keys = [f"key-{number}" for number in range(200)]
    with transaction.atomic():
        for key in keys:
            fill([task], 10, gate="key", concurrency_key=key, is_exclusive=False)
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO scheduling_concurrencykey SELECT unnest(%s::text[]), 1", [keys])
        plan = explained(OPEN_KEYS, [keys])

    assert looked_at(plan) <= 3 * len(keys) * 10
    assert DueWork.objects.filter(concurrency_key__in=keys, gate=None).count() == len(keys)


@pytest.mark.usefixtures("statistics_of_a_quiet_hour")
@pytest.mark.parametrize("overlap", list(RUNS))
@pytest.mark.parametrize(("many", "each"), SHAPES)
def test_a_pass_over_a_backlog_of_exclusive_tasks_is_done_in_time(many: int, each: int, overlap: str) -> None:
    since = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
    agent = AgentFactory()
    for _ in range(many):
        ScheduleFactory(
            task=TaskFactory(agent=agent, overlap=overlap),
            kind="interval",
            expression="PT1S",
            misfire_policy="all",
            misfire_limit=each,
            misfire_grace=timedelta(hours=1),
            next_fire_at=since,
        )

    began = time.monotonic()
    result = run_pass(now=since + timedelta(seconds=each - 1))

    assert time.monotonic() - began < 8
    assert (result.runs, result.stepped_over) == (expected(result, many, each, overlap), 0)
    assert DueWork.objects.filter(is_exclusive=True, gate=None).count() == many


def expected(result: PassResult, many: int, each: int, overlap: str) -> int:
    assert result.runs + result.skipped == many * each
    return many * RUNS[overlap](each)


@pytest.mark.usefixtures("statistics_of_a_quiet_hour")
def test_a_burst_asks_the_runs_of_a_task_to_stop_once() -> None:
    task = TaskFactory(overlap="cancel_running")
    start = Start(task_id=task.pk, trigger_kind=TriggerKind.MANUAL)
    with transaction.atomic(), connection.cursor() as cursor:
        admit(cursor, [start])

    statements: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    with transaction.atomic(), connection.cursor() as cursor, connection.execute_wrapper(count):
        admit(cursor, [start] * 50)

    assert len(statements) < 20
    assert DueWork.objects.filter(task=task).count() == 1
