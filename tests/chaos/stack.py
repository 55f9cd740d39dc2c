"""The private installation of a round: its servers, its clocks and worker hosts, and how they are found and ended."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ordinaut_project.embedded.binaries import EmbeddedError, unprivileged_prefix, valkey_server
from ordinaut_project.embedded.postgres import USER, Postgres
from ordinaut_project.embedded.valkey import Valkey
from tests.chaos import ledger, tools
from tests.chaos.proxy import Proxy
from tests.process_trees import is_alive, kill_marked, tie_to_this_process
from tests.processes import ROOT, inherited_env
from workers.supervisor import Child, ChildSpec, spawn

POOLER = "pgbouncer"
FAKETIME = [
    *Path("/usr/lib").glob("*/faketime/libfaketime.so.1"),
    *Path("/usr/lib64/faketime").glob("libfaketime.so.1"),
]
# Shortened, in their order: a round is to see many deaths.
ABORT_AFTER, REAP_AFTER, GRACE, QUARANTINE_AFTER = 3.0, 4.5, 1.0, 3
_TIMES = {
    "ORDINAUT_BEAT_INTERVAL": "0.4",
    "ORDINAUT_ABORT_AFTER": str(ABORT_AFTER),
    "ORDINAUT_REAP_AFTER": str(REAP_AFTER),
    "ORDINAUT_GRACE": str(GRACE),
    "ORDINAUT_QUARANTINE_AFTER": str(QUARANTINE_AFTER),
    "ORDINAUT_CLOCK_STATEMENT_TIMEOUT": "5",
    "ORDINAUT_CLOCK_LOCK_TIMEOUT": "1",
    "ORDINAUT_CLOCK_IDLE_TIMEOUT": "3",
}
_POSTGRES = {"shared_buffers": "64MB", "max_connections": "120", "max_wal_size": "256MB"}
_POOLER_PORT = 6432
_MARK = "ORDINAUT_CHAOS_MARK"


@dataclass(slots=True)
class Process:
    """A clock or a worker host. `is_ended_by_us`: its end is no surprise."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    point: str = ""
    is_ended_by_us: bool = False

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def is_running(self) -> bool:
        return self.popen.poll() is None

    def family(self) -> list[int]:
        """Its own pid, then those of its worker processes (not of the processes of isolated tools)."""
        return [self.pid, *children_of(self.pid)]


@dataclass(slots=True)
class Freeze:
    """A process that stood still, by whom it was found so: from and until when, by the host's clock."""

    pid: int
    since: float
    until: float | None = None


@dataclass
class Stack:
    """`start()` once, `stop()` whatever happens. Methods that start processes belong to the main thread."""

    folder: Path
    has_pooler: bool
    hosts_wanted: int
    processes_per_host: int
    has_operated_queues: bool = False
    hosts: list[Process] = field(default_factory=list)
    clocks: list[Process] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    freezes: list[Freeze] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)  # processes that could tidy up nothing any more
    started: int = 0

    def __post_init__(self) -> None:
        self.postgres = Postgres(self.folder / "postgres", settings=_POSTGRES)
        self.postgres_child: Child | None = None
        self.valkey = Valkey(self.folder / "valkey", durable=False) if has_valkey() else None
        self.valkey_child: Child | None = None
        self.pooler_child: Child | None = None
        self.mark = f"{_MARK}={self.folder}"
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        tools.install(self.folder / "tools")

    # Servers

    def start_servers(self, template: Path | None) -> None:
        """PostgreSQL on a copy of `template`'s cluster, or on a new one; then the others and the network."""
        if template is not None:
            shutil.copytree(template, self.postgres.data, symlinks=True)
        self.postgres.prepare()
        self.start_postgres()
        assert self.postgres_child is not None
        self.postgres.wait_until_ready(self.postgres_child)
        self.postgres.ensure_database()
        self.start_valkey()
        socket = self.postgres.sockets / ".s.PGSQL.5432"
        self.direct = Proxy(socket)
        if self.has_pooler:
            self._write_pooler_files()
            self.start_pooler()
            self.front = Proxy(self._pooler_folder / f".s.PGSQL.{_POOLER_PORT}")
        else:
            self.front = self.direct

    @property
    def proxies(self) -> list[Proxy]:
        return [self.front] if self.front is self.direct else [self.front, self.direct]

    def start_postgres(self) -> None:
        """Without waiting until it answers."""
        if self.postgres_child is None or self.postgres_child.exit_code is not None:
            self.postgres_child = spawn(self.postgres.spec())

    def start_valkey(self) -> None:
        if self.valkey is not None and (self.valkey_child is None or self.valkey_child.exit_code is not None):
            self.valkey_child = spawn(self.valkey.spec())

    def start_pooler(self) -> None:
        if not self.has_pooler or (self.pooler_child is not None and self.pooler_child.exit_code is None):
            return
        (self._pooler_folder / f".s.PGSQL.{_POOLER_PORT}").unlink(missing_ok=True)
        self.pooler_child = spawn(
            ChildSpec(
                name=POOLER,
                argv=(*unprivileged_prefix(), str(pooler_program()), "-q", str(self._pooler_folder / "pgbouncer.ini")),
                log=self.folder / "logs" / "pgbouncer.log",
            )
        )

    @property
    def _pooler_folder(self) -> Path:
        return self.postgres.sockets

    def _write_pooler_files(self) -> None:
        folder = self._pooler_folder
        (folder / "users.txt").write_text(f'"{USER}" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={folder} port=5432\n[pgbouncer]\nlisten_port = {_POOLER_PORT}\n"
            f"unix_socket_dir = {folder}\nauth_type = trust\nauth_file = {folder}/users.txt\n"
            "pool_mode = transaction\ndefault_pool_size = 8\nmax_client_conn = 300\n"
            "ignore_startup_parameters = extra_float_digits\nserver_login_retry = 0.2\nquery_wait_timeout = 20\n"
        )

    # Clocks and worker hosts

    def environment(self, **more: str) -> dict[str, str]:
        url = f"postgresql://{USER}@127.0.0.1:{self.front.port}/ordinaut"
        direct = f"postgresql://{USER}@127.0.0.1:{self.direct.port}/ordinaut"
        return {
            **{name: value for name, value in inherited_env().items() if not name.startswith("ORDINAUT_")},
            **_TIMES,
            "DATABASE_URL": url,
            "DATABASE_DIRECT_URL": direct,
            "REDIS_URL": self.valkey.url() if self.valkey is not None else "",
            "PGAPPNAME": "a product process",  # a pooler leaves the name of whoever came before to one that has none
            "DJANGO_SETTINGS_MODULE": "ordinaut_project.settings",
            "ORDINAUT_ENV": "test",
            "ORDINAUT_HTTPS": "0",
            "ORDINAUT_SECRET_KEY": "only-for-torture-" + "0123456789abcdef" * 4,
            "ORDINAUT_LOG_LEVEL": "INFO",
            "ORDINAUT_PREPARE_STATEMENTS": "0" if self.has_pooler else "1",
            "ORDINAUT_STATE_DIR": "/nonexistent",
            "ORDINAUT_TOOL_ENVIRONMENT": ledger.PLACE,
            "PYTHONPATH": os.pathsep.join([str(self.folder / "tools"), str(ROOT)]),
            ledger.PLACE: str(self.ledger),
            _MARK: str(self.folder),
            **more,
        }

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def url(self) -> str:
        """Past the network: for the round's own looks at the database."""
        return self.postgres.url()

    def start_host(self, point: str = "") -> Process:
        options = (f"--processes={self.processes_per_host}", "--concurrency=6", "--queue=default,other,rated,fair")
        host = self._start("host", ("runworkers", *options), "ORDINAUT_TEST_WORKER_POINT", point)
        self.hosts.append(host)
        return host

    def start_clock(self, point: str = "", **more: str) -> Process:
        clock = self._start("clock", ("runscheduler", "--batch=20"), "ORDINAUT_TEST_CLOCK_POINT", point, **more)
        self.clocks.append(clock)
        return clock

    def _start(self, kind: str, arguments: tuple[str, ...], variable: str, point: str, **more: str) -> Process:
        self.started += 1
        log = self.folder / "logs" / f"{kind}-{self.started}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), *arguments],
                cwd=ROOT,
                env=self.environment(**{variable: point, **more}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=tie_to_this_process,
            )
        return Process(f"{kind}-{self.started}", popen, log, point)

    def send(self, process: Process, number: signal.Signals) -> None:
        """A signal that ends the process, so that its end is no surprise."""
        process.is_ended_by_us = True
        process.popen.send_signal(number)

    def forget_ended(self) -> None:
        """Drop the processes that are gone; one that ended unasked is a surprise."""
        for group in (self.hosts, self.clocks):
            for process in [process for process in group if not process.is_running]:
                group.remove(process)
                if process.popen.returncode == -signal.SIGKILL:
                    self.killed.add(process.pid)
                if not process.is_ended_by_us:
                    self.surprises.append(f"{process.name} ended by itself with {process.popen.returncode}")

    def freeze(self, pids: Iterable[int]) -> list[Freeze]:
        frozen = []
        for pid in pids:
            if is_alive(pid) and signal_to(pid, signal.SIGSTOP):
                frozen.append(Freeze(pid, ledger.now()))
        self.freezes.extend(frozen)
        return frozen

    def thaw(self, frozen: Iterable[Freeze]) -> None:
        for freeze in frozen:
            signal_to(freeze.pid, signal.SIGCONT)
            freeze.until = ledger.now()

    # The end

    def stop(self) -> None:
        """End everything, the servers last."""
        for process in [*self.clocks, *self.hosts]:
            if process.is_running:
                self.send(process, signal.SIGCONT)
                process.popen.terminate()
        wait_for(lambda: not any(process.is_running for process in [*self.clocks, *self.hosts]), 15)
        kill_marked(self.mark)
        for process in [*self.clocks, *self.hosts]:
            process.popen.wait(10)
        for child in (self.pooler_child, self.valkey_child):
            if child is not None:
                child.kill()
        if self.postgres_child is not None:
            self.postgres_child.stop()
        for proxy in self.proxies if hasattr(self, "front") else []:
            proxy.close()


def children_of(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def signal_to(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """True when the condition came to hold in time."""
    ends_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.05)
    return True


def has_valkey() -> bool:
    try:
        valkey_server()
    except EmbeddedError:
        return False
    return True


def pooler_program() -> Path | None:
    """Debian keeps it out of an ordinary user's path."""
    found = shutil.which(POOLER, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return None if found is None else Path(found)
