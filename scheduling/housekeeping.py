"""Housekeeping jobs: small repeated work that any clock process may do. Apps name the module that registers theirs in
`AppConfig.ready()`; it is imported where jobs are asked for, in clocks, because what jobs need (serializers, the zone
data) is a fourth of the start of every other process and twelve of its megabytes.

A job takes no arguments, opens its own transaction, returns how many things it did, and is safe to run in every clock
at once: it takes `pg_try_advisory_xact_lock` through `alone`, or works queue-style with SKIP LOCKED.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

from scheduling.clock import session

_STATEMENT_TIMEOUT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class HousekeepingJob:
    id: str
    run: Callable[[], int]
    every: timedelta


_jobs: dict[str, HousekeepingJob] = {}
_modules: list[str] = []


def jobs_of(module: str) -> None:
    """Name a module with a function `register_jobs`, which is called before the jobs are read for the first time."""
    _modules.append(module)


def register(job: HousekeepingJob) -> None:
    """Add a job; registering the same id again replaces it."""
    _jobs[job.id] = job


def registered() -> list[HousekeepingJob]:
    """All jobs, by id. Imports the modules of those that are not registered yet."""
    while _modules:
        import_module(_modules.pop()).register_jobs()
    return sorted(_jobs.values(), key=lambda job: job.id)


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """A transaction that tells whether it is the only one under `name`, on any host. Never waits for that, nor for
    ever for anything in it: it has the clock's time-outs, with a minute for a statement."""
    with session.bounded(statement=_STATEMENT_TIMEOUT) as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [0x0D1, zlib.crc32(name.encode()) - 2**31])
        (is_alone,) = cursor.fetchone()
        yield is_alone
