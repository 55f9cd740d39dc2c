"""Peers on no-op jobs, each by its own documented means, from a virtual environment of their own (`make bench-peers`).

A peer is a script of this package with three words: `prepare ADDRESS` makes its tables, `fill ADDRESS COUNT` a backlog,
`work ADDRESS` is one worker process. Their settings are those that their documentation recommends for throughput; they
stand at the top of each script.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

from benchmarks.rates import pace_of
from benchmarks.report import Report
from ordinaut_project.embedded.valkey import Valkey
from workers.supervisor import Supervisor

PROCESSES = 2
_SCRIPTS = Path(__file__).parent
_PYTHON = Path(os.environ.get("ORDINAUT_BENCH_PEERS", _SCRIPTS.parents[1] / ".venv-peers")) / "bin" / "python"
_WITHIN = 90.0


@dataclass(frozen=True, slots=True)
class _Known:
    """`left` is a query for what is not done yet; empty where the jobs are in Redis."""

    name: str
    script: str
    package: str
    jobs: int
    left: str = ""


_PEERS = [
    _Known("PgQueuer, 2 processes", "pgqueuer_jobs.py", "pgqueuer", 60_000, "SELECT count(*) FROM pgqueuer"),
    _Known(
        "Procrastinate, 2 processes",
        "procrastinate_jobs.py",
        "procrastinate",
        4_000,
        "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
    ),
    _Known(
        "django-tasks-db, 2 processes",
        "django_tasks_jobs.py",
        "django_tasks_db",
        3_000,
        "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status IN ('READY', 'RUNNING')",
    ),
    _Known("Celery with Redis, 2 processes", "celery_jobs.py", "celery", 10_000),
]
NAMES = frozenset(peer.name for peer in _PEERS)


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    measure: Callable[[], float]


@contextmanager
def installed(report: Report, address: str) -> Iterator[list[Peer]]:
    """The peers that are there, each with a database of its own on the server of `address`, ready to be measured."""
    if not _PYTHON.exists():
        report.fact("peers", "not installed: make bench-peers")
        yield []
        return
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="ordinaut-peers-") as folder:
        found = []
        for peer in _PEERS:
            version = _version(peer.package)
            report.fact(peer.name, version or "not installed")
            if version:
                found.append(_peer(peer, address if peer.left else stack.enter_context(_valkey(Path(folder)))))
        yield found


def _peer(peer: _Known, address: str) -> Peer:
    own = _database(address, peer.package) if peer.left else address
    _run(peer, "prepare", own)

    def measure() -> float:
        _run(peer, "fill", own, str(peer.jobs))
        with ExitStack() as stack:
            processes = [stack.enter_context(_working(peer, own)) for _ in range(PROCESSES)]
            left = _left_in_redis(own) if not peer.left else _left_in_database(own, peer.left)

            def left_while_they_live() -> int:
                if any(process.poll() is not None for process in processes):
                    raise AssertionError(f"a worker of {peer.name} has ended")
                return left()

            return pace_of(left_while_they_live, total=peer.jobs, within=_WITHIN).rate

    return Peer(peer.name, measure)


def _left_in_database(address: str, query: str) -> Callable[[], int]:
    connection = psycopg.connect(address, autocommit=True)

    def left() -> int:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    return left


def _left_in_redis(address: str) -> Callable[[], int]:
    client = redis.Redis.from_url(address)
    return lambda: int(client.llen("celery")) + int(client.hlen("unacked"))


def _database(address: str, name: str) -> str:
    """A fresh database on the same server, its address in the form that all drivers read."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        info = connection.info
        return f"postgresql://{info.user}@/{name}?host={info.host}&port={info.port}"


@contextmanager
def _valkey(folder: Path) -> Iterator[str]:
    supervisor = Supervisor()
    try:
        valkey = Valkey(folder)
        valkey.wait_until_ready(supervisor.start(valkey.spec()))
        yield valkey.url()
    finally:
        supervisor.stop()


def _version(package: str) -> str:
    program = f"import importlib.metadata as m; print(m.version('{package.replace('_', '-')}'))"
    asked = subprocess.run([_PYTHON, "-c", program], capture_output=True, text=True)  # noqa: S603 (words of ours)
    return asked.stdout.strip()


def _run(peer: _Known, *arguments: str) -> None:
    subprocess.run(  # noqa: S603 (our own script, words of ours)
        [_PYTHON, _SCRIPTS / peer.script, *arguments], check=True, env=_environment(), stdout=subprocess.DEVNULL
    )


@contextmanager
def _working(peer: _Known, address: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603 (our own script, words of ours)
        [_PYTHON, _SCRIPTS / peer.script, "work", address],
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _environment() -> dict[str, str]:
    """Without our own settings: a peer is not to read them."""
    ours = ("DJANGO_", "ORDINAUT_", "DATABASE_", "REDIS_", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
