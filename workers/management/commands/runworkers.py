"""`manage.py runworkers`: a worker host."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from prometheus_client import REGISTRY

from scheduling.checks import OURS, require_service_settings
from scheduling.definitions.strict import parse
from scheduling.errors import NotValid
from scheduling.management.options import between, start_probe
from scheduling.queues.definition import QueueName
from scheduling.tasks.models import DEFAULT_QUEUE
from workers import conf, points
from workers.host import Host, HostOptions
from workers.metrics import HostCollector
from workers.wear import Limits

# Far above what a machine carries, and far below what the columns of a worker's row take.
_MOST_PROCESSES = 1000
_MOST_SLOTS = 10_000


class Command(BaseCommand):
    requires_system_checks = (OURS,)
    help = (
        "Run due work: a host of worker processes. Start one on each machine. SIGTERM drains (running steps get "
        "ORDINAUT_GRACE seconds, the rest is handed back); a second SIGTERM puts everything back and stops."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--processes", type=between(1, _MOST_PROCESSES), default=1, help="Worker processes (1).")
        parser.add_argument(
            "--concurrency",
            type=between(1, _MOST_SLOTS),
            default=20,
            help="Runs at a time in each process (20). With 1 the order of starts is strict.",
        )
        parser.add_argument(
            "--queue",
            type=_queues,
            default=(DEFAULT_QUEUE,),
            metavar="A,B",
            help="The queues to work on, separated by commas (default).",
        )
        parser.add_argument(
            "--max-runs",
            type=_at_least_none,
            help="Replace a process after so many runs (ORDINAUT_WORKER_MAX_RUNS; 0: never).",
        )
        parser.add_argument(
            "--max-memory",
            type=_at_least_none,
            metavar="MIB",
            help="Replace a process whose resident memory is above (ORDINAUT_WORKER_MAX_MEMORY; 0: never).",
        )
        parser.add_argument("--probe-host", default="127.0.0.1", help="Address of the probe port (127.0.0.1).")
        parser.add_argument("--probe-port", type=int, help="Serve /livez, /readyz and /metrics there.")

    def handle(self, *args: Any, **options: Any) -> None:
        require_service_settings()
        points.arm()
        host = Host(
            HostOptions(
                processes=options["processes"],
                concurrency=options["concurrency"],
                queues=options["queue"],
                limits=_limits(options["max_runs"], options["max_memory"]),
            )
        )
        probe = None
        if options["probe_port"] is not None:
            REGISTRY.register(HostCollector(host.keeper))
            probe = start_probe(
                host=options["probe_host"], port=options["probe_port"], readiness=lambda: _readiness(host)
            )
        try:
            code = host.run()
        finally:
            if probe is not None:
                probe.stop()
        if code:
            raise SystemExit(code)


def _readiness(host: Host) -> tuple[bool, dict[str, Any]]:
    """What the probe tells. Dead rows make no host unready: its work goes on."""
    bloat = host.keeper.bloat.latest
    processes = [link.facts() for link in list(host.keeper.links)]
    return host.keeper.is_ready, {"processes": processes, "warning": bloat.warning if bloat is not None else ""}


def _at_least_none(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ArgumentTypeError("must not be negative")
    return number


def _limits(runs: int | None, memory: int | None) -> Limits:
    """The options, and where one is not given the setting."""
    return Limits(
        runs=conf.worker_max_runs() if runs is None else runs,
        memory=(conf.worker_max_memory() if memory is None else memory) << 20,
    )


def _queues(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ArgumentTypeError("names no queue")
    for name in names:
        try:
            parse(QueueName, {"name": name})
        except NotValid as error:
            raise ArgumentTypeError(f"{name!r} is no name of a queue: {error.problems[0].detail}") from error
    return names
