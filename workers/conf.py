"""The settings of this app, typed. The only reader of `ORDINAUT_*` settings in `workers`."""

from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

DEFAULT_QUARANTINE_AFTER = 3
DEFAULT_COMPILED_PIPELINES = 500
DEFAULT_RETENTION_BATCH = 1000
DEFAULT_DEAD_TUPLES_WARNING = 100_000
DEFAULT_KEEP = {
    "succeeded": timedelta(days=30),
    "failed": timedelta(days=90),
    "canceled": timedelta(days=30),
    "skipped": timedelta(days=30),
    "events": timedelta(days=30),
    "misses": timedelta(days=90),
    "workers": timedelta(days=7),
    "executions": timedelta(days=7),
}


class SettingError(ImproperlyConfigured):
    """A setting has a value of the wrong form."""


def beat_interval() -> timedelta:
    """How often a supervisor beats for its worker processes."""
    return _duration("ORDINAUT_BEAT_INTERVAL", timedelta(seconds=1))


def abort_after() -> timedelta:
    """How long a process works on without an acknowledged beat; then it drops its runs and settles nothing."""
    return _duration("ORDINAUT_ABORT_AFTER", timedelta(seconds=10))


def reap_after() -> timedelta:
    """How long a reaper itself sees a beat stand still before it declares the process lost."""
    return _duration("ORDINAUT_REAP_AFTER", timedelta(seconds=15))


def grace() -> timedelta:
    """How long running steps may go on after SIGTERM."""
    return _duration("ORDINAUT_GRACE", timedelta(seconds=8), zero=True)


def worn_grace() -> timedelta:
    """How long the runs of a process that has served long enough may go on beside its follower, before it is asked to
    stop as at SIGTERM; zero: at once."""
    return _duration("ORDINAUT_WORN_GRACE", timedelta(hours=1), zero=True)


def quarantine_after() -> int:
    """How many workers may die while a run is their suspect."""
    return _whole_number("ORDINAUT_QUARANTINE_AFTER", DEFAULT_QUARANTINE_AFTER)


def compiled_pipelines() -> int:
    """How many compiled revisions a worker process keeps in memory."""
    return _whole_number("ORDINAUT_COMPILED_PIPELINES", DEFAULT_COMPILED_PIPELINES)


def keep(what: str) -> timedelta:
    """How long rows of a kind are kept: `succeeded`, `failed`, `canceled`, `skipped`, `events`, `misses`, `workers` or
    `executions`. Zero: for ever."""
    return _duration(f"ORDINAUT_KEEP_{what.upper()}", DEFAULT_KEEP[what], zero=True)


def retention_batch() -> int:
    """How many rows retention deletes with one statement."""
    return _whole_number("ORDINAUT_RETENTION_BATCH", DEFAULT_RETENTION_BATCH)


def retention_budget() -> timedelta:
    """How long one turn of retention goes on; zero turns retention off on this host."""
    return _duration("ORDINAUT_RETENTION_BUDGET", timedelta(seconds=10), zero=True)


def worker_max_runs() -> int:
    """After how many runs a worker process is replaced; 0 for never."""
    return _whole_number("ORDINAUT_WORKER_MAX_RUNS", 0, minimum=0)


def worker_max_memory() -> int:
    """Above how many MiB of resident memory a worker process is replaced; 0 for never."""
    return _whole_number("ORDINAUT_WORKER_MAX_MEMORY", 0, minimum=0)


def dead_tuples_warning() -> int:
    """How many dead rows of a hot table are worth a warning."""
    return _whole_number("ORDINAUT_DEAD_TUPLES_WARNING", DEFAULT_DEAD_TUPLES_WARNING)


def logs_every_run() -> bool:
    """Write a line for each run that succeeds too; failures are always written."""
    return bool(getattr(settings, "ORDINAUT_LOG_EVERY_RUN", False))


def test_point() -> str:
    """Where a test wants a process of a worker host to die or to stand still; empty outside of tests."""
    return str(getattr(settings, "ORDINAUT_TEST_WORKER_POINT", ""))


def _duration(name: str, default: timedelta, *, zero: bool = False) -> timedelta:
    value = getattr(settings, name, default)
    if not isinstance(value, timedelta) or value < timedelta(0) or (not value and not zero):
        raise SettingError(f"{name}: must be a {'' if zero else 'positive '}duration")
    return value


def _whole_number(name: str, default: int, *, minimum: int = 1) -> int:
    number = getattr(settings, name, default)
    if isinstance(number, bool) or not isinstance(number, int) or number < minimum:
        raise SettingError(f"{name}: must be a whole number of at least {minimum}")
    return number
