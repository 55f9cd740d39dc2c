"""The memory of worker processes over 200,000 runs: resident, of each process, read while they work."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import clock_rows, run_rows
from benchmarks.processes import managing
from benchmarks.report import Report
from benchmarks.server import durable_database

RUNS = int(os.environ.get("ORDINAUT_BENCH_MEMORY_RUNS", "200000"))
_WITHIN = 300.0
_WARM = 0.25


def run(report: Report) -> None:
    with durable_database(report):
        from django.db import connection

        with connection.cursor() as cursor:
            clock_rows.make_tasks(cursor, 1000, document=run_rows.steps_document(1))
            run_rows.make_runs(cursor, RUNS, available_at=datetime.now(UTC))
            run_rows.settle_tables(cursor)
            with managing("runworkers", "--processes", "2") as host:
                seen = list(_watch(cursor, host.pid))
    warm = max(largest for done, largest in seen if done >= RUNS * _WARM and done <= RUNS * (_WARM + 0.1))
    report.value(f"largest process over {RUNS:,} runs", max(largest for _, largest in seen), "MiB (budget 120)")
    report.value("the largest at the end, to that after a quarter", seen[-1][1] / warm, "x (budget: flat)")


def _watch(cursor: Any, host: int) -> Iterator[tuple[int, float]]:
    """How many runs are done, and the largest process of the tree in MiB, ten times a second until all are."""
    ends_at = time.monotonic() + _WITHIN
    while time.monotonic() < ends_at:
        cursor.execute("SELECT count(*) FROM scheduling_duework")
        left = cursor.fetchone()[0]
        yield RUNS - left, max(_resident(pid) for pid in _tree(host))
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"{left} of {RUNS} runs were left after {_WITHIN:.0f} s")


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = children.read_text(encoding="ascii").split() if children.exists() else []
    return [pid, *(each for child in below for each in _tree(int(child)))]


def _resident(pid: int) -> float:
    """MiB; 0 where it has just gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except FileNotFoundError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
