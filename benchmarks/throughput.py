"""Runs a second, beside a raw-SQL floor and the peers that are installed, on one server in one run.

Each contender gets a backlog of no-op jobs, then its worker processes; what is counted is how fast the backlog goes
between its tenth and its ninth tenth. Rounds of all contenders alternate, so that a neighbour's burst of work hits
all; the table gives medians and the spread.
"""

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from benchmarks import clock_rows, peers, run_rows
from benchmarks.floor import floor_pace
from benchmarks.processes import managing
from benchmarks.rates import TooSlow, pace_of
from benchmarks.report import Report
from benchmarks.server import durable_database

RUNS = int(os.environ.get("ORDINAUT_BENCH_RUNS", "60000"))
ROUNDS = int(os.environ.get("ORDINAUT_BENCH_ROUNDS", "3"))
CONCURRENCY = 400
TEN_STEPS = 10
_WITHIN = 120.0
_LEFT = "SELECT count(*) FROM scheduling_duework"


@dataclass
class Contender:
    """Someone who works a backlog off: `measure()` is one round, in jobs a second."""

    name: str
    measure: Callable[[], float]
    rates: list[float] = field(default_factory=list)
    failure: str = ""

    def round(self) -> None:
        if self.failure:
            return
        try:
            self.rates.append(self.measure())
        except TooSlow as error:
            self.failure = str(error)

    @property
    def median(self) -> float:
        return statistics.median(self.rates)


def run(report: Report) -> None:
    with durable_database(report) as address:
        from django.db import connection

        with connection.cursor() as cursor, peers.installed(report, address) as others:
            contenders = [*_ours(cursor, address), *[Contender(peer.name, peer.measure) for peer in others]]
            for _ in range(ROUNDS):
                for contender in contenders:
                    contender.round()
    _tell(report, contenders)


def _ours(cursor: Any, address: str) -> list[Contender]:
    def left() -> int:
        cursor.execute(_LEFT)
        return int(cursor.fetchone()[0])

    def prepare(document: bytes, runs: int) -> None:
        run_rows.forget_runs(cursor)
        cursor.execute("TRUNCATE scheduling_task, scheduling_taskrevision, scheduling_agent CASCADE")
        clock_rows.make_tasks(cursor, 20, document=document)
        run_rows.make_runs(cursor, runs, available_at=datetime.now(UTC))
        run_rows.settle_tables(cursor)

    def ours(processes: int, document: bytes, runs: int) -> Callable[[], float]:
        def measure() -> float:
            prepare(document, runs)
            command = ("runworkers", "--processes", str(processes), "--concurrency", str(CONCURRENCY))
            with managing(*command):
                return pace_of(left, total=runs, within=_WITHIN).rate

        return measure

    def floor(clients: int) -> Callable[[], float]:
        def measure() -> float:
            prepare(run_rows.ONE_STEP, RUNS)
            return floor_pace(address, clients=clients, left=left, total=RUNS).rate

        return measure

    ten = run_rows.steps_document(TEN_STEPS)
    return [
        Contender("raw SQL floor, 4 clients", floor(4)),
        Contender("one step, 1 process", ours(1, run_rows.ONE_STEP, RUNS // 2)),
        Contender("one step, 2 processes", ours(2, run_rows.ONE_STEP, RUNS)),
        Contender("one tool step, 2 processes", ours(2, run_rows.steps_document(1), RUNS)),
        Contender("ten durable steps, 1 process", ours(1, ten, RUNS // 20)),
        Contender("ten durable steps, 2 processes", ours(2, ten, RUNS // 20)),
    ]


def _tell(report: Report, contenders: list[Contender]) -> None:
    for contender in contenders:
        if contender.rates:
            spread = f"runs/s (from {min(contender.rates):,.0f} to {max(contender.rates):,.0f})"
            report.value(contender.name, contender.median, spread)
        else:
            report.fact(contender.name, contender.failure)
    by_name = {contender.name: contender for contender in contenders if contender.rates}
    ours = by_name["one step, 2 processes"].median
    report.value("of the floor", ours / by_name["raw SQL floor, 4 clients"].median, "x (budget 0.35)")
    best = max(
        (each for each in by_name.values() if each.name in peers.NAMES), key=lambda each: each.median, default=None
    )
    if best is not None:
        report.value(f"of the best peer, {best.name}", ours / best.median, "x (budget 1.3)")
