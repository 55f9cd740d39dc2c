"""From due to the start of the first step, under light load: one clock, one worker process, one firing at a time.

Both ends are instants of the same machine: the occurrence, and when the first step was started by the worker.
"""

import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import clock_rows
from benchmarks.processes import managing
from benchmarks.report import Report
from benchmarks.server import durable_database

FIRINGS = 300
_APART = timedelta(milliseconds=100)
_TIME_TO_START = timedelta(seconds=8)


def run(report: Report) -> None:
    with durable_database(report):
        from django.db import connection

        with connection.cursor() as cursor:
            clock_rows.make_tasks(cursor, 10, document=b'{"version":1,"steps":[{"id":"note","set":{"done":true}}]}')
            first = datetime.now(UTC) + _TIME_TO_START
            clock_rows.make_single_firings(cursor, [first + number * _APART for number in range(FIRINGS)])
            with managing("runscheduler", "--no-housekeeping"), managing("runworkers", "--processes", "1"):
                waits = _wait_for_steps(cursor, until=first + FIRINGS * _APART + timedelta(seconds=20))
    report.value(f"due to first step, {FIRINGS} firings, p50", statistics.median(waits), "ms (budget 5)")
    report.value("the same, p99", statistics.quantiles(waits, n=100)[98], "ms (budget 25)")


def _wait_for_steps(cursor: Any, *, until: datetime) -> list[float]:
    while datetime.now(UTC) < until:
        time.sleep(0.5)
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM step.started_at - run.scheduled_for) * 1000 "
            "FROM workers_steprun step JOIN scheduling_run run ON run.id = step.run_id"
        )
        waits = [float(wait) for (wait,) in cursor.fetchall()]
        if len(waits) == FIRINGS:
            return waits
    raise AssertionError(f"{FIRINGS} steps should have started, {len(waits)} have")
