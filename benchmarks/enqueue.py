"""How many runs a second can be asked for: one by one, as an agent or an operator does, and in bulk."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks import clock_rows, run_rows
from benchmarks.report import Report
from benchmarks.server import durable_database

ONE_BY_ONE = 1_500
BULK = 60_000
_TRANSACTION = 1_000
ROUNDS = 3


def run(report: Report) -> None:
    with durable_database(report):
        from django.db import connection

        with connection.cursor() as cursor:
            clock_rows.make_tasks(cursor, 100, document=run_rows.ONE_STEP)
            for name, write in (
                ("one by one, each committed with its audit entry", _one_by_one),
                (f"in bulk, {_TRANSACTION:,} a transaction", _in_bulk),
            ):
                rates = [_rate(cursor, write) for _ in range(ROUNDS)]
                spread = f"runs/s (from {min(rates):,.0f} to {max(rates):,.0f})"
                report.value(name, sorted(rates)[ROUNDS // 2], spread)


def _rate(cursor: Any, write: Callable[[], int]) -> float:
    run_rows.forget_runs(cursor)
    cursor.execute("CHECKPOINT")
    began = time.perf_counter()
    wanted = write()
    rate = wanted / (time.perf_counter() - began)
    cursor.execute("SELECT count(*) FROM scheduling_duework")
    if cursor.fetchone() != (wanted,):
        raise AssertionError("not every start became a run that is due")
    return rate


def _one_by_one() -> int:
    from scheduling.audit.operations import Actor
    from scheduling.models import Task
    from scheduling.runs.operations import start_run

    actor, tasks = Actor.system("bench"), list(Task.objects.all())
    for number in range(ONE_BY_ONE):
        start_run(actor=actor, task=tasks[number % len(tasks)])
    return ONE_BY_ONE


def _in_bulk() -> int:
    from django.db import connection, transaction

    from scheduling.models import Task
    from scheduling.runs.admission import Start, admit
    from scheduling.runs.states import TriggerKind

    tasks = list(Task.objects.values_list("pk", flat=True))
    for first in range(0, BULK, _TRANSACTION):
        starts = [
            Start(task_id=tasks[number % len(tasks)], trigger_kind=TriggerKind.MANUAL)
            for number in range(first, first + _TRANSACTION)
        ]
        with transaction.atomic(), connection.cursor() as cursor:
            admit(cursor, starts)
    return BULK
