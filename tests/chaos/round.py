"""One round of the torture driver, in a process of its own: `python -m tests.chaos.round --seed 7 --folder ...`.

Exit codes: 0 every invariant holds, 1 one is broken, 2 the round itself went wrong, or no fault befell it.
"""

import argparse
import heapq
import json
import logging
import os
import sys
import time
import traceback
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.chaos import callers, database_faults, faults, history, ledger, plan, recorder
from tests.chaos.befalling import Befalling
from tests.chaos.bereft import Bereft
from tests.chaos.invariants import INVARIANTS, judge
from tests.chaos.stack import ABORT_AFTER, QUARANTINE_AFTER, REAP_AFTER, Stack, wait_for

QUIET_WITHIN = 150.0  # seconds for what is left to be done once all is healed
_BEGINS_WITHIN = 90.0
_HEALS_WITHIN = 60.0
_NEVER_LATER = 5.0  # seconds that a due schedule may wait on a healed installation


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    stack = Stack(
        folder=Path(options.folder),
        has_pooler=options.pooler,
        hosts_wanted=options.hosts,
        processes_per_host=options.processes,
        has_operated_queues=options.seed % 4 >= 2,  # with and without a pooler
    )
    try:
        return Round(stack, options).run()
    except Exception:  # noqa: BLE001 (whatever it was, the servers end and the exit code tells it from a verdict)
        traceback.print_exc()
        return 2
    finally:
        stack.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.round")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--pooler", action="store_true")
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--nested", type=int, default=0)
    parser.add_argument("--only", default="", help="Fault kinds, by their beginning, separated by commas.")
    return parser


class Round:
    """Start, load and faults, heal, quiet, verdict."""

    def __init__(self, stack: Stack, options: argparse.Namespace) -> None:
        self._stack = stack
        self._options = options
        self._log: list[dict[str, Any]] = []
        self._began_at = time.monotonic()
        self._late_marks: list[str] = []
        self._bereft = Bereft(ledger.left_in(stack.ledger))

    def run(self) -> int:
        stack, options = self._stack, self._options
        left_out = faults.missing(stack)
        only = tuple(word for word in options.only.split(",") if word)
        without = frozenset({*left_out, *(set(plan.KINDS) - set(plan.wanted(only)))})
        chosen = plan.draw(options.seed, seconds=options.seconds, reap_after=REAP_AFTER, without=without)
        if not chosen:
            self._say(
                f"no fault would befall this round, and it would prove nothing: "
                f"{plan.why_none(only, left_out, seconds=options.seconds)}"
            )
            return 2
        self._start()
        load = self._load
        load.start()
        self._began_at = time.monotonic()
        self._say(f"load and {len(chosen)} faults for {options.seconds:g} s")
        self._befall(chosen)
        self._say("healing")
        self._heal()
        load.finish()
        self._see_that_schedules_fire()
        load.end_schedules()
        is_quiet = wait_for(self._is_quiet, QUIET_WITHIN)
        self._say("quiet" if is_quiet else f"not quiet within {QUIET_WITHIN:g} s")
        found = self._read_history()
        self._stop_in_order()
        found.surprises = [*stack.surprises, *load.failures]
        found.outlived = self._bereft.outlived()
        return self._report(found, left_out)

    # The beginning

    def _start(self) -> None:
        stack = self._stack
        stack.start_servers(None)
        os.environ.clear()
        os.environ.update(stack.environment())
        sys.path.insert(0, str(stack.folder / "tools"))
        import django

        django.setup()
        logging.basicConfig(force=True, filename=stack.folder / "logs" / "load.log", level=logging.WARNING)
        from django.core.management import call_command

        from tests.chaos.load import Load

        call_command("migrate", verbosity=0)
        recorder.install(stack.url)
        self._load = Load(
            self._options.seed,
            (callers.agent("torture-0"), callers.agent("torture-1")),
            callers.operator(),
            pause=(0.05, 0.5),
            operates=self._stack.has_operated_queues,
            nested=self._options.nested,
        )
        self._load.prepare()
        for _ in range(stack.hosts_wanted):
            stack.start_host()
        for _ in range(2):
            stack.start_clock()
        if not wait_for(lambda: bool(self._count("scheduling_run WHERE state = 'succeeded'")), _BEGINS_WITHIN):
            raise AssertionError("no run has succeeded although nothing has befallen the round yet")

    # Faults

    def _befall(self, chosen: list[plan.Fault]) -> None:
        """Each fault is advanced when its time has come; two that overlap are advanced in turn."""
        waiting: list[tuple[float, int, plan.Fault, Befalling]] = []
        for number, fault in enumerate(chosen):
            heapq.heappush(waiting, (fault.at, number, fault, faults.befall(self._stack, fault)))
        try:
            while (now := self._now()) < self._options.seconds:
                self._stack.forget_ended()
                self._bereft.look(self._stack.killed)
                if not waiting or waiting[0][0] > now:
                    due = waiting[0][0] if waiting else self._options.seconds
                    time.sleep(max(0.01, min(0.1, due - now)))
                    continue
                at, number, fault, befalling = heapq.heappop(waiting)
                if at == fault.at:
                    self._note(fault, "begins")
                try:
                    pause = next(befalling)
                except StopIteration:
                    self._note(fault, "is over")
                else:
                    heapq.heappush(waiting, (self._now() + pause, number, fault, befalling))
        finally:
            for *_, befalling in waiting:
                befalling.close()

    def _heal(self) -> None:
        """Everything works again, whatever the last faults left."""
        stack = self._stack
        for proxy in stack.proxies:
            proxy.heal()
        stack.start_valkey()
        stack.start_pooler()
        stack.start_postgres()

        def is_writable() -> bool:
            stack.start_postgres()
            return database_faults.reset_settings(stack)

        if not wait_for(is_writable, _HEALS_WITHIN):
            raise AssertionError("PostgreSQL does not come back")
        faults.fill_up(stack)

    def _see_that_schedules_fire(self) -> None:
        """On a healed installation no due schedule waits: sooner or later than the rest of its backlog it fires."""
        query = (
            "scheduling_schedule WHERE state = 'active' AND held_at IS NULL "
            f"AND next_fire_at < now() - interval '{_NEVER_LATER:g} seconds'"
        )
        if not wait_for(lambda: self._count(query) == 0, _HEALS_WITHIN):
            self._late_marks.append(f"{self._count(query)} schedules are due for more than {_NEVER_LATER:g} s")

    def _is_quiet(self) -> bool:
        self._stack.forget_ended()
        self._bereft.look(self._stack.killed)
        time.sleep(0.3)
        outbox = "scheduling_outbox" if self._stack.valkey is not None else "scheduling_outbox WHERE false"
        return not any(self._count(table) for table in ("scheduling_duework", "scheduling_runend", outbox))

    def _stop_in_order(self) -> None:
        """On SIGTERM every process ends by itself, with 0."""
        stack = self._stack
        stack.forget_ended()
        last = [process for process in [*stack.hosts, *stack.clocks] if process.is_running]
        last = [process for process in last if not process.is_ended_by_us]
        for process in last:
            process.is_ended_by_us = True
            process.popen.terminate()
        wait_for(lambda: not any(process.is_running for process in last), 20)
        stack.forget_ended()
        wait_for(lambda: not self._bereft.look(stack.killed), 3)
        stack.surprises.extend(
            f"{process.name} answered the last SIGTERM with {process.popen.poll()}"
            for process in last
            if process.popen.poll() != 0
        )

    # The end

    def _read_history(self) -> history.History:
        from tests.invariants import broken_invariants

        stack, load = self._stack, self._load
        return history.History(
            **history.read_tables(stack.url),
            changes=recorder.read(stack.url),
            ledger=ledger.read(stack.ledger),
            actions=load.actions,
            stood_still=[(each.pid, each.since, each.until or ledger.now()) for each in stack.freezes],
            integrity=broken_invariants(),
            late_marks=self._late_marks,
            followed=load.task_ids["followed"],
            follower=load.task_ids["follower"],
            listener=load.task_ids["listener"],
            tidying=frozenset(load.task_ids[key] for key in ("nested", "cancels-itself")),
            topic="chaos.ping",
            abort_after=timedelta(seconds=ABORT_AFTER),
            quarantine_after=QUARANTINE_AFTER,
        )

    def _report(self, found: history.History, left_out: dict[str, str]) -> int:
        verdict = judge(found)
        befell = Counter(line["fault"] for line in self._log if line["what"] == "begins")
        poisons = len({line.run for line in found.ledger if line.kind in ("poison", "block") and line.what == "begin"})
        lines = [
            f"seed {self._options.seed}: {sum(befell.values())} faults in {self._options.seconds:g} s, "
            f"{'through PgBouncer' if self._stack.has_pooler else 'no pooler'}, "
            f"{'limited and fair queues' if self._stack.has_operated_queues else 'plain queues'}",
            "  " + ", ".join(f"{kind} {n}" for kind, n in sorted(befell.items())) + f", runs of poison {poisons}",
            *(f"  left out: {kind} ({why})" for kind, why in left_out.items()),
            *_figures(found, nested=self._load.task_ids["nested"]),
            *(f"  {'broken' if verdict[each.name] else 'holds '}  {each.name}: {each.says}" for each in INVARIANTS),
        ]
        for name, complaints in verdict.items():
            lines += [f"    {name}: {complaint}" for complaint in complaints]
        report = "\n".join(lines) + "\n"
        sys.stdout.write(report)
        folder = self._stack.folder
        (folder / "report.txt").write_text(report)
        _write_lines(folder / "faults.jsonl", self._log)
        _write_lines(folder / "actions.jsonl", [asdict(action) for action in found.actions])
        _write_lines(folder / "audits.jsonl", [asdict(audit) for audit in found.audits])
        _write_lines(folder / "changes.jsonl", [asdict(change) for change in found.changes])
        _write_lines(folder / "runs.jsonl", [asdict(run) for run in found.runs])
        _write_lines(folder / "steps.jsonl", [asdict(step) for step in found.steps])
        if any(verdict.values()):
            return 1
        if not befell:
            self._say("no fault has befallen this round: it has proved nothing")
        return 0 if befell else 2

    def _now(self) -> float:
        return time.monotonic() - self._began_at

    def _note(self, fault: plan.Fault, what: str) -> None:
        at = datetime.now(UTC).isoformat()
        self._log.append({"at": at, "fault": fault.kind, "what": what, "planned": asdict(fault)})
        self._say(f"{fault.kind} {what}" + (f" ({fault.seconds:g} s)" if what == "begins" and fault.seconds else ""))

    def _say(self, what: str) -> None:
        sys.stderr.write(f"{self._now():7.2f} {what}\n")

    def _count(self, source: str) -> int:
        import psycopg

        try:
            with psycopg.connect(self._stack.url, connect_timeout=5, application_name="chaos looks") as connection:
                row = connection.execute(f"SELECT count(*) FROM {source}".encode()).fetchone()
        except psycopg.OperationalError:
            return -1
        return int(row[0]) if row is not None else -1


def _figures(found: history.History, *, nested: str) -> list[str]:
    states = Counter(run.state if run.state != "failed" else f"failed ({run.cause})" for run in found.runs)
    late = sorted(
        (run.started_at - run.scheduled_for).total_seconds()
        for run in found.runs
        if run.trigger == "schedule" and run.started_at is not None and run.scheduled_for is not None
    )
    deaths = sum(change.was_owner is not None and change.gate == "suspect" for change in found.changes)
    figures = [
        f"  {len(found.runs)} runs ({sum(run.task == nested for run in found.runs)} nested): "
        + ", ".join(f"{n} {state}" for state, n in sorted(states.items())),
        f"  {sum(line.what == 'begin' for line in found.ledger)} calls of tools, {len(found.steps)} step rows, "
        f"{deaths} leases of dead processes given away, {len(found.workers)} worker processes",
        f"  {len(found.actions)} requests in {sum(action.tries for action in found.actions)} tries, "
        f"{sum(action.is_accepted for action in found.actions)} accepted "
        f"({sum(action.is_accepted and action.actor == 'operator' for action in found.actions)} of an operator); "
        f"{sum(m.count for m in found.misses)} misses",
    ]
    if late:
        figures.append(f"  due to start: median {late[len(late) // 2]:.2f} s, 99 % {late[len(late) * 99 // 100]:.2f} s")
    return figures


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
