"""A run of forty durable steps, alone on an idle worker: what a step costs from its start to the next one's."""

import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import clock_rows, run_rows
from benchmarks.processes import managing
from benchmarks.report import Report
from benchmarks.server import durable_database

STEPS = 40
RUNS = 40
_APART = timedelta(milliseconds=400)
_TIME_TO_START = timedelta(seconds=5)


def run(report: Report) -> None:
    with durable_database(report):
        from django.db import connection

        with connection.cursor() as cursor:
            clock_rows.make_tasks(cursor, 10, document=run_rows.steps_document(STEPS))
            first = datetime.now(UTC) + _TIME_TO_START
            run_rows.make_runs(cursor, RUNS, available_at=first, apart=_APART)
            run_rows.settle_tables(cursor)
            with managing("runworkers", "--processes", "1"):
                costs = _wait_for_runs(cursor, until=first + RUNS * _APART + timedelta(seconds=30))
    report.value(f"one of {STEPS} durable steps, median of {RUNS} runs", statistics.median(costs), "ms (budget 5)")
    report.value("the same, slowest run", max(costs), "ms")


def _wait_for_runs(cursor: Any, *, until: datetime) -> list[float]:
    """Milliseconds a step of each run."""
    while datetime.now(UTC) < until:
        time.sleep(0.5)
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM finished_at - started_at) * 1000 FROM scheduling_run WHERE state = 'succeeded'"
        )
        took = [float(each) / STEPS for (each,) in cursor.fetchall()]
        if len(took) == RUNS:
            cursor.execute("SELECT count(*) FROM workers_steprun WHERE state = 'succeeded'")
            if cursor.fetchone() != (RUNS * STEPS,):
                raise AssertionError("not every step has its row")
            return took
    raise AssertionError(f"{RUNS} runs should have ended, {len(took)} have")
