"""From due to the start of the first step: under light load, one clock, one worker process, one firing at a time; and
for a worker process that has half of the work to do that it can do.

Both ends are instants of the same machine: the occurrence, and when the first step was started by the worker.
"""

import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import clock_rows, run_rows
from benchmarks.processes import managing
from benchmarks.rates import pace_of
from benchmarks.report import Report
from benchmarks.server import durable_database

FIRINGS = 300
_APART = timedelta(milliseconds=100)
_TIME_TO_START = timedelta(seconds=8)
_BACKLOG = 20_000
_AT_HALF_LOAD = 10  # seconds


def run(report: Report) -> None:
    with durable_database(report):
        from django.db import connection

        with connection.cursor() as cursor:
            clock_rows.make_tasks(cursor, 10, document=run_rows.ONE_STEP)
            first = datetime.now(UTC) + _TIME_TO_START
            clock_rows.make_single_firings(cursor, [first + number * _APART for number in range(FIRINGS)])
            with managing("runscheduler", "--no-housekeeping"), managing("runworkers", "--processes", "1"):
                until = first + FIRINGS * _APART + timedelta(seconds=20)
                waits = _wait_for_steps(cursor, count=FIRINGS, until=until)
            report.value(f"due to first step, {FIRINGS} firings, p50", statistics.median(waits), "ms (budget 5)")
            report.value("the same, p99", statistics.quantiles(waits, n=100)[98], "ms (budget 25)")
            _measure_half_load(report, cursor)


def _measure_half_load(report: Report, cursor: Any) -> None:
    """Runs that become due one after the other, half as many a second as the process works off of a backlog."""
    run_rows.forget_runs(cursor)
    run_rows.make_runs(cursor, _BACKLOG, available_at=datetime.now(UTC))
    run_rows.settle_tables(cursor)
    with managing("runworkers", "--processes", "1"):
        rate = pace_of(lambda: _due(cursor), total=_BACKLOG, within=60).rate / 2
        first = datetime.now(UTC) + _TIME_TO_START
        count = int(rate * _AT_HALF_LOAD)
        run_rows.forget_runs(cursor)
        run_rows.make_runs(cursor, count, available_at=first, apart=timedelta(seconds=1 / rate))
        run_rows.settle_tables(cursor)
        if datetime.now(UTC) >= first:
            raise AssertionError("the runs were not written before the first was due")
        waits = _wait_for_steps(cursor, count=count, until=first + timedelta(seconds=_AT_HALF_LOAD + 30))
    report.value(f"due to first step at half load, {rate:,.0f} runs/s, p50", statistics.median(waits), "ms")
    report.value("the same, p99", statistics.quantiles(waits, n=100)[98], "ms")


def _due(cursor: Any) -> int:
    cursor.execute("SELECT count(*) FROM scheduling_duework")
    return int(cursor.fetchone()[0])


def _wait_for_steps(cursor: Any, *, count: int, until: datetime) -> list[float]:
    """Milliseconds from due to the first step's start, of each of `count` runs."""
    while datetime.now(UTC) < until:
        time.sleep(0.5)
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM step.started_at - run.scheduled_for) * 1000 "
            "FROM workers_steprun step JOIN scheduling_run run ON run.id = step.run_id"
        )
        waits = [float(wait) for (wait,) in cursor.fetchall()]
        if len(waits) == count:
            return waits
    raise AssertionError(f"{count} steps should have started, {len(waits)} have")
