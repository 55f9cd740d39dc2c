"""A pytest plugin: one PostgreSQL and one Valkey for the whole test run, started before anything else.

It is loaded by `-p tests.plugin` in `pyproject.toml`, earlier than any conftest, because pytest-django reads the
settings, and so the addresses, while the first conftests load. Under xdist the controller starts the servers and the
workers inherit their addresses; each worker has a database of its own (pytest-django's doing) and a Redis database of
its own (ours). The servers end with the run, also with a killed one.

With ORDINAUT_TEST_DATABASE_URL set, the tests run on that PostgreSQL, which may be of another version; with
ORDINAUT_TEST_REDIS_URL on that Redis. What is not given is started, PostgreSQL from the programs in the folder
ORDINAUT_TEST_POSTGRES_BIN where that is set.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from ordinaut_project.embedded.binaries import EmbeddedError
from ordinaut_project.embedded.places import FolderLock
from ordinaut_project.embedded.postgres import THROWAWAY_SETTINGS, Postgres
from ordinaut_project.embedded.valkey import Valkey
from scheduling.garbage import collect_seldom
from workers.supervisor import Supervisor, SupervisorError

_REDIS_DATABASES = 64
_ABANDONED_AFTER = 3600.0
_ENVIRONMENT = {
    "ORDINAUT_ENV": "test",
    "ORDINAUT_SECRET_KEY": "only-for-tests-" + "0123456789abcdef" * 4,
    "ORDINAUT_HTTPS": "0",
    "ORDINAUT_LOG_LEVEL": "INFO",
}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, None, None]:
    """Fix the environment and start the servers, before pytest-django reads the settings."""
    collect_seldom()
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        options = parser.parse_known_args(args)
        runs_tests = not (options.help or options.version or options.collectonly or options.showfixtures)
        _prepare_controller(early_config, start_servers=runs_tests)
    else:
        number = int(worker.removeprefix("gw"))
        os.environ["REDIS_URL"] = redis_url_of_worker(os.environ["REDIS_URL"], number)
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    from django.conf import settings

    # A real password hash takes a third of a second by design; hundreds of operators are made here.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def redis_url_of_worker(url: str, number: int) -> str:
    """The address of a worker's own database on the same server; the controller's is 0."""
    base, _, _ = url.partition("?")
    if base.startswith("unix://"):
        return f"{base}?db={number + 1}"
    address = base.split("://", 1)[1].split("/", 1)[0]
    return f"{base.split('://', 1)[0]}://{address}/{number + 1}"


def _prepare_controller(config: pytest.Config, *, start_servers: bool) -> None:
    database_url = os.environ.get("ORDINAUT_TEST_DATABASE_URL", "")
    redis_url = os.environ.get("ORDINAUT_TEST_REDIS_URL", "")
    # A shell that is set up for a real installation must not leak into the tests.
    for name in [name for name in os.environ if name.startswith("ORDINAUT_") and "_TEST_" not in name]:
        del os.environ[name]
    if start_servers and not (database_url and redis_url):
        try:
            database_url, redis_url = _start_servers(config, database_url, redis_url)
        except (EmbeddedError, SupervisorError) as error:
            raise pytest.UsageError(str(error)) from error
    os.environ.update(_ENVIRONMENT, DATABASE_URL=database_url, REDIS_URL=redis_url)


def _start_servers(config: pytest.Config, database_url: str, redis_url: str) -> tuple[str, str]:
    """The addresses of both, started where they are empty."""
    _sweep_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=_prefix()))
    lock = FolderLock(folder)
    lock.acquire()
    supervisor = Supervisor()

    def stop() -> None:
        supervisor.stop()
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)

    config.add_cleanup(stop)
    if not redis_url:
        valkey = Valkey(folder / "valkey", durable=False, databases=_REDIS_DATABASES)
        valkey.wait_until_ready(supervisor.start(valkey.spec()))
        redis_url = valkey.url()
    if not database_url:
        programs = os.environ.get("ORDINAUT_TEST_POSTGRES_BIN")
        postgres = Postgres(
            folder / "postgres", settings=THROWAWAY_SETTINGS, programs=Path(programs) if programs else None
        )
        postgres.prepare()
        postgres.wait_until_ready(supervisor.start(postgres.spec()))
        database_url = postgres.url()
    return database_url, redis_url


def _prefix() -> str:
    return f"ordinaut-tests-{os.getuid()}-"


def _sweep_abandoned() -> None:
    """Remove the folders of test runs that were killed: old, and locked by nobody."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        lock = FolderLock(folder)
        try:
            if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER:
                lock.acquire()
                shutil.rmtree(folder, ignore_errors=True)
        except (EmbeddedError, OSError):
            continue  # in use, or another run sweeps it at this moment
        finally:
            lock.release()
