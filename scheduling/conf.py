"""The settings of this app, typed. The only reader of `ORDINAUT_*` settings in `scheduling`."""

from datetime import timedelta

from django.conf import settings


def pipeline_port_path() -> str:
    """The dotted path of the judge of pipelines; see `scheduling.ports`."""
    return str(getattr(settings, "ORDINAUT_PIPELINE_PORT", ""))


def max_event_depth() -> int:
    """How many runs, each started by an event of the one before, may follow one another."""
    return int(getattr(settings, "ORDINAUT_MAX_EVENT_DEPTH", 16))


def redis_url() -> str:
    """Where Redis is; empty where none is configured, and then events stay in the outbox."""
    return str(getattr(settings, "ORDINAUT_REDIS_URL", "") or "")


def direct_url() -> str:
    """The server's own address, past any pooler, for LISTEN; empty where there is none."""
    return str(getattr(settings, "ORDINAUT_DATABASE_DIRECT_URL", "") or "")


def prepares_statements() -> bool:
    """False behind a transaction-mode pooler that cannot keep prepared statements."""
    return bool(getattr(settings, "ORDINAUT_PREPARE_STATEMENTS", True))


def clock_statement_timeout() -> timedelta:
    """How long a statement of the clock may take; zero is for ever."""
    return _duration("ORDINAUT_CLOCK_STATEMENT_TIMEOUT", 5)


def clock_lock_timeout() -> timedelta:
    """How long a statement of the clock waits for what others have locked; zero is for ever."""
    return _duration("ORDINAUT_CLOCK_LOCK_TIMEOUT", 2)


def clock_idle_timeout() -> timedelta:
    """How long the server keeps a transaction of the clock that says nothing, and its locks; zero is for ever."""
    return _duration("ORDINAUT_CLOCK_IDLE_TIMEOUT", 15)


def clock_pass_budget() -> timedelta:
    """The age of the last whole pass past which a clock is not ready."""
    return _duration("ORDINAUT_CLOCK_PASS_BUDGET", 10)


def clock_test_point() -> str:
    """Where in a pass a test wants the clock to die or to stand still; empty outside of tests."""
    return str(getattr(settings, "ORDINAUT_TEST_CLOCK_POINT", ""))


def _duration(name: str, default: float) -> timedelta:
    value = getattr(settings, name, timedelta(seconds=default))
    assert isinstance(value, timedelta), f"{name} is a timedelta"
    return value
