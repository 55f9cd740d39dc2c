"""What a claim costs among a thousand, a hundred thousand and a million rows, due ones and such as sleep.

The claim is the workers' own, over its own connection, forty runs a time, each committed.
"""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from benchmarks import clock_rows, run_rows
from benchmarks.report import Report
from benchmarks.server import durable_database

SIZES = (1_000, 100_000, 1_000_000)
_LIMIT = 40
_CLAIMS = 20
# What is due among those that sleep: enough for all claims.
_DUE_BESIDE = 1_000


def run(report: Report) -> None:
    with durable_database(report):
        from django.db import connection

        with connection.cursor() as cursor:
            clock_rows.make_tasks(cursor, 100)
            for kind in ("due", "sleeping"):
                costs = {size: _claims(cursor, kind, size) for size in SIZES}
                for size, of_size in costs.items():
                    median = statistics.median(of_size)
                    report.value(f"claim of {_LIMIT} among {size:,} {kind}, median", median, "ms")
                    report.value("the same, slowest", max(of_size), "ms")
                flatness = statistics.median(costs[SIZES[-1]]) / statistics.median(costs[SIZES[0]])
                report.value(f"{SIZES[-1]:,} {kind} to {SIZES[0]:,}", flatness, "x (budget 1.2)")


def _claims(cursor: Any, kind: str, size: int) -> list[float]:
    """Milliseconds of each claim."""
    now = datetime.now(UTC)
    run_rows.forget_runs(cursor)
    if kind == "due":
        run_rows.make_runs(cursor, size, available_at=now)
    else:
        run_rows.make_runs(cursor, size, available_at=now + timedelta(days=1))
        run_rows.make_runs(cursor, _DUE_BESIDE, available_at=now)
    run_rows.settle_tables(cursor)
    return asyncio.run(_timed())


async def _timed() -> list[float]:
    from workers.claim import Claimer
    from workers.connection import Database, conninfo

    database = Database(name="bench", address=conninfo(), limit=timedelta(seconds=60))
    claimer = Claimer(database, boot_id=uuid4(), queues=["default"])
    costs = []
    try:
        for _ in range(_CLAIMS):
            began = time.perf_counter()
            taken = await claimer.claim(limit=_LIMIT)
            costs.append((time.perf_counter() - began) * 1000)
            if len(taken) != _LIMIT:
                raise AssertionError(f"a claim of {_LIMIT} took {len(taken)}")
    finally:
        await database.close()
    return costs
