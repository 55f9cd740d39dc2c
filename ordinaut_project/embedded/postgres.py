"""One PostgreSQL cluster on a Unix socket, as our own child process."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg

from ordinaut_project.embedded.binaries import EmbeddedError, postgres_program, unprivileged_prefix
from ordinaut_project.embedded.places import make_private, socket_folder
from workers.supervisor import Child, ChildSpec, spawn

USER = "ordinaut"
_SOCKET_NAME = ".s.PGSQL.5432"
_READY_WITHIN = 60.0
_ORPHAN_ENDS_WITHIN = 20.0
_BASE_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# For tests: nothing has to survive a power cut, and each run starts from nothing.
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "max_connections": "300",
}


class Postgres:
    """A cluster under `folder`: `prepare()`, then spawn `spec()`, then `wait_until_ready()`."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        log: Path | None = None,
        sockets: Path | None = None,
        programs: Path | None = None,
    ) -> None:
        """`programs` is the folder of another PostgreSQL's `initdb` and `postgres`, of 15 or later."""
        self._programs = programs
        self.folder = make_private(folder)
        self.data = self.folder / "data"
        self.sockets = socket_folder(sockets or self.folder, longest_name=_SOCKET_NAME)
        self._settings = {**_BASE_SETTINGS, **(settings or {})}
        self._log = log or self.folder / "server.log"

    def url(self, database: str = "ordinaut") -> str:
        """`DATABASE_URL` of a database of this cluster."""
        return f"postgresql://{USER}@{quote(str(self.sockets), safe='')}/{database}"

    def prepare(self, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Make the cluster where there is none yet; True when it was made. Raises EmbeddedError.

        The cluster is made beside its place and moved there when whole, so that an interrupted first start leaves
        nothing half made; one that `should_stop()` interrupts removes what it had.
        """
        if (self.data / "PG_VERSION").exists():
            self._refuse_other_version()
            return False
        unfinished = self.folder / f"unfinished-{os.getpid()}"
        # In a container the same pid comes again: what a killed start of that pid left is of no use to anybody.
        shutil.rmtree(unfinished, ignore_errors=True)
        if not self._run_initdb(unfinished, should_stop=should_stop):
            shutil.rmtree(unfinished, ignore_errors=True)
            return False
        unfinished.rename(self.data)
        return True

    def _run_initdb(self, target: Path, *, should_stop: Callable[[], bool]) -> bool:
        """False when `should_stop()` ended it. Raises EmbeddedError when it fails.

        A child like the server: Ctrl-C in the terminal must not reach it and look like a failure.
        """
        argv = [
            *unprivileged_prefix(),
            str(self._program("initdb")),
            f"--pgdata={target}",
            f"--username={USER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]
        if self._programs is None:  # an older one may lack the provider, and orders by bytes all the same
            argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self._settings.get("fsync") == "off":
            argv.append("--no-sync")
        log = self.folder / "initdb.log"
        child = spawn(ChildSpec(name="initdb", argv=tuple(argv), log=log))
        try:
            while child.exit_code is None:
                if should_stop():
                    return False
                time.sleep(0.02)
        finally:
            child.kill()
        if child.exit_code != 0:
            raise EmbeddedError(f"initdb failed: {_last_line(log)}")
        return True

    def spec(self) -> ChildSpec:
        """How to run the server. SIGINT is PostgreSQL's fast shutdown: sessions are ended, data is written."""
        await_predecessor(self.data)
        # A list of folders by its nature: quoted, a comma in the path is only a comma.
        sockets = str(self.sockets).replace('"', '""')
        settings = {**self._settings, "unix_socket_directories": f'"{sockets}"'}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ChildSpec(
            name="postgres",
            argv=(*unprivileged_prefix(), str(self._program("postgres")), "-D", str(self.data), *options),
            log=self._log,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            grace=30.0,
            restart=False,
        )

    def wait_until_ready(
        self, child: Child, *, within: float = _READY_WITHIN, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Return when the server answers a query, or `should_stop()`, which matters while it recovers from a crash.

        Raises EmbeddedError when the server ends or the time is up.
        """
        ends_at = time.monotonic() + within
        while not should_stop():
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url("postgres")):
                return
            if child.exit_code is not None:
                raise EmbeddedError(f"PostgreSQL ended at its start: {self._last_log_line()}")
            if time.monotonic() > ends_at:
                raise EmbeddedError(f"PostgreSQL did not answer within {within:.0f} s: {self._last_log_line()}")
            time.sleep(0.02)

    def ensure_database(self, name: str = "ordinaut") -> bool:
        """Create the database where it is missing; True when it was created."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                return False
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
            return True

    def _program(self, name: str) -> Path:
        return postgres_program(name) if self._programs is None else self._programs / name

    def _last_log_line(self) -> str:
        return _last_line(self._log)

    def _refuse_other_version(self) -> None:
        """A wheel of the next major release cannot read this cluster; say so before the server says it in its log."""
        made_by = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        program = str(self._program("postgres"))
        answer = subprocess.run(  # noqa: S603 - our own argv, out of the reach of Ctrl-C in the terminal
            [program, "--version"], capture_output=True, text=True, check=True, start_new_session=True
        )
        version = answer.stdout.split()[-1]
        if version.partition(".")[0] != made_by:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {made_by}, the installed one is {version}: "
                "dump it with the old release, or begin anew with --reset"
            )


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else f"see {log}"


def await_predecessor(data: Path) -> None:
    """Wait for the server that a killed `up` has just left to end, and remove the pid file of one that is dead.

    PostgreSQL does the latter itself unless the pid it names is alive again as somebody else's process of the same
    user (likely in a container, where pids are small). The folder's lock is held here and the old server was our
    child, so a live process of that number counts only if it really is a postgres of this folder. Raises
    EmbeddedError when it does not end.
    """
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text(encoding="utf-8").splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return
    ends_at = time.monotonic() + _ORPHAN_ENDS_WITHIN
    while _serves(pid, data) and time.monotonic() < ends_at:
        time.sleep(0.05)
    if _serves(pid, data):
        raise EmbeddedError(f"{data} is already in use by PostgreSQL process {pid}")
    path.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    """True when the process runs in `data`, as a postmaster does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/cwd").resolve() == data.resolve()
    except OSError:
        return True
