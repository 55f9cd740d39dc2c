"""The one way to Redis: short time-outs, one client a process, and a single log line when it goes or comes back.

Redis carries news and limits, never truth. Whoever uses it goes on without it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import structlog
from django.conf import settings
from prometheus_client import Gauge

if TYPE_CHECKING:  # read when it is first used: it is a quarter of a process's start, and workers never need it
    import redis

logger = structlog.get_logger(__name__)

TIMEOUT = 2.0  # seconds: a server that hangs is as good as away

REDIS_UP = Gauge("ordinaut_redis_up", "1 where the last use of Redis worked, else 0.")

_lock = threading.Lock()
_was_up: bool | None = None


class RedisUnavailableError(Exception):
    """Redis is not configured, away, or does not answer in time."""


@cache
def client_of(url: str) -> "redis.Redis":
    """The client of an address, with its own pool of connections. Threads may share it."""
    import redis

    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, health_check_interval=30, decode_responses=False
    )


@contextmanager
def connected() -> "Iterator[redis.Redis]":
    """A client to use inside; any failure of Redis leaves as RedisUnavailableError, logged once a change."""
    import redis

    if not settings.ORDINAUT_REDIS_URL:
        _note(is_up=False, detail="REDIS_URL is not set")
        raise RedisUnavailableError("REDIS_URL is not set")
    try:
        yield client_of(settings.ORDINAUT_REDIS_URL)
    except (redis.RedisError, OSError) as error:
        _note(is_up=False, detail=str(error))
        raise RedisUnavailableError(str(error)) from error
    _note(is_up=True)


def is_up() -> bool:
    """Ask Redis for an answer now."""
    try:
        with connected() as client:
            return bool(client.ping())
    except RedisUnavailableError:
        return False


def _note(*, is_up: bool, detail: str = "") -> None:
    global _was_up
    with _lock:
        changed = _was_up is not is_up
        _was_up = is_up
    REDIS_UP.set(int(is_up))
    if not changed:
        return
    if is_up:
        logger.info("redis.up")
    else:
        logger.warning("redis.down", detail=detail, hint="Work goes on; events wait in the outbox until it is back.")
