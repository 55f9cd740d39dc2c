"""The clock's budgets: 100,000 schedules due in one second, and an idle clock over 1,000,000 of them.

Beside the pass stands its floor: the same rows written by bare SQL, in batches of the same size, without planning.
"""

import os
import statistics
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import clock_rows
from benchmarks.processes import managing
from benchmarks.report import Report
from benchmarks.server import durable_database

DUE = int(os.environ.get("ORDINAUT_BENCH_DUE", "100000"))
IDLE = int(os.environ.get("ORDINAUT_BENCH_IDLE", "1000000"))
ROUNDS = 3
_FLOOR_BATCH = 2000
_TIME_TO_START = timedelta(seconds=20)

_FLOOR = """
WITH due AS (
    SELECT schedule.id, schedule.task_id, schedule.next_fire_at, task.current_revision_id, task.agent_id, task.queue,
           task.priority, gen_random_uuid() AS run_id
    FROM scheduling_schedule schedule JOIN scheduling_task task ON task.id = schedule.task_id
    WHERE schedule.state = 'active' AND schedule.held_at IS NULL AND schedule.next_fire_at <= %(now)s
    ORDER BY schedule.next_fire_at, schedule.id
    LIMIT %(batch)s
    FOR NO KEY UPDATE OF schedule SKIP LOCKED
), born AS (
    INSERT INTO scheduling_run (id, task_id, revision_id, agent_id, schedule_id, trigger_kind, scheduled_for, state,
                                cause, skip_reason, attempt, simulated, triggered_by, created_at)
    SELECT run_id, task_id, current_revision_id, agent_id, id, 'schedule', next_fire_at, 'queued', '', '', 1, false,
           '', now()
    FROM due
), queued AS (
    INSERT INTO scheduling_duework (run_id, task_id, queue, priority, available_at, attempt, claim_count,
                                    handback_count, death_count, is_suspect, is_exclusive)
    SELECT run_id, task_id, queue, priority, next_fire_at, 1, 0, 0, 0, false, false FROM due
)
UPDATE scheduling_schedule schedule
SET next_fire_at = schedule.next_fire_at + interval '1 day', version = schedule.version + 1,
    fired_count = schedule.fired_count + 1, last_fired_at = schedule.next_fire_at
FROM due WHERE due.id = schedule.id
"""


def run(report: Report) -> None:
    with durable_database(report):
        from django.db import connection

        with connection.cursor() as cursor:
            clock_rows.make_tasks(cursor, 1000)
            clock_rows.make_schedules(cursor, DUE, due_at=clock_rows.DUE_AT)
            _measure_burst(report, cursor)
            _measure_processes(report, cursor)
            _measure_policies(report, cursor)
            clock_rows.forget_all(cursor)
            clock_rows.make_tasks(cursor, 1000)
            clock_rows.make_schedules(cursor, IDLE, due_at=datetime.now(UTC) + timedelta(days=1))
            _measure_idle(report)


def _measure_burst(report: Report, cursor: Any) -> None:
    passes, floors = [], []
    for _ in range(ROUNDS):
        passes.append(_time_passes(cursor))
        clock_rows.forget_runs(cursor, due_at=clock_rows.DUE_AT)
        floors.append(_time_floor(cursor))
        clock_rows.forget_runs(cursor, due_at=clock_rows.DUE_AT)
    report.value(f"{DUE:,} due in one second, all queued by one clock", statistics.median(passes), "s (budget 10)")
    report.value("the same rows by bare SQL (floor)", statistics.median(floors), "s")
    report.value("ratio of the medians", statistics.median(passes) / statistics.median(floors), "x the floor")


def _measure_policies(report: Report, cursor: Any) -> None:
    """The same burst where each schedule has a task of its own, whose policy asks for more than a plain start does."""
    clock_rows.forget_all(cursor)
    clock_rows.make_tasks(cursor, DUE)
    clock_rows.make_schedules(cursor, DUE, due_at=clock_rows.DUE_AT)
    for name, changes in clock_rows.POLICIES.items():
        clock_rows.change(cursor, changes)
        times = []
        for _ in range(ROUNDS):
            times.append(_time_passes(cursor))
            clock_rows.forget_runs(cursor, due_at=clock_rows.DUE_AT)
        report.value(f"{DUE:,} due in one second, {name}", statistics.median(times), "s (budget 10)")


def _measure_processes(report: Report, cursor: Any) -> None:
    """From the instant at which they are due until the last run is queued, by one and by two clock processes."""
    for clocks in (1, 2):
        times = [_time_processes(cursor, clocks) for _ in range(ROUNDS)]
        name = f"{DUE:,} due at an instant, {clocks} clock process{'es' if clocks > 1 else ''}"
        report.value(name, statistics.median(times), "s (budget 10)")


def _time_processes(cursor: Any, clocks: int) -> float:
    cursor.execute("TRUNCATE scheduling_run, scheduling_duework, scheduling_miss, scheduling_schedule CASCADE")
    due_at = datetime.now(UTC).replace(microsecond=0) + _TIME_TO_START
    clock_rows.make_single_firings(cursor, [due_at] * DUE)
    cursor.execute("CHECKPOINT")
    with ExitStack() as stack:
        for _ in range(clocks):
            stack.enter_context(managing("runscheduler", "--no-housekeeping"))
        while datetime.now(UTC) < due_at + timedelta(seconds=120):
            cursor.execute("SELECT count(*) FROM scheduling_schedule WHERE state = 'active'")
            if cursor.fetchone() == (0,):
                took = (datetime.now(UTC) - due_at).total_seconds()
                _require_all_queued(cursor)
                return took
            time.sleep(0.2)
    raise AssertionError(f"{clocks} clocks did not fire {DUE} schedules within two minutes")


def _time_passes(cursor: Any) -> float:
    from scheduling.clock.firing import run_pass

    now = datetime.fromisoformat(clock_rows.DUE_AT) + timedelta(seconds=1)
    began = time.perf_counter()
    while run_pass(now=now).is_full:
        continue
    took = time.perf_counter() - began
    _require_all_queued(cursor)
    return took


def _time_floor(cursor: Any) -> float:
    from django.db import transaction

    began = time.perf_counter()
    written = True
    while written:
        with transaction.atomic():
            cursor.execute(_FLOOR, {"now": clock_rows.DUE_AT, "batch": _FLOOR_BATCH})
            written = cursor.rowcount > 0
    took = time.perf_counter() - began
    _require_all_queued(cursor)
    return took


def _require_all_queued(cursor: Any) -> None:
    cursor.execute("SELECT count(*), count(DISTINCT run_id) FROM scheduling_duework")
    found = cursor.fetchone()
    if found != (DUE, DUE):
        raise AssertionError(f"{DUE} runs should be queued, there are {found}")


def _measure_idle(report: Report) -> None:
    from scheduling.clock.due import earliest_mark
    from scheduling.clock.firing import run_pass

    for _ in range(100):
        run_pass()
    before = _resident_megabytes()
    costs = []
    for _ in range(2000):
        began = time.perf_counter()
        run_pass()
        earliest_mark()
        costs.append((time.perf_counter() - began) * 1000)
    report.value(f"idle pass over {IDLE:,} schedules, median", statistics.median(costs), "ms (budget 5)")
    report.value("the same, p99", statistics.quantiles(costs, n=100)[98], "ms")
    report.value("memory gained in 2,000 passes", _resident_megabytes() - before, "MB")


def _resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
