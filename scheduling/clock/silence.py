"""A server's process that stands still, because it is stopped or hangs in its kernel, keeps no time limit, and TCP sees
nothing wrong: its side of the connection is well. So a thread of the clock watches the clock's own connection, and
shuts it down when nothing has come of it for too long. Whoever waits there gets the error of a lost connection.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import structlog

logger = structlog.get_logger(__name__)

_LOOKS_A_LIMIT = 8  # between two looks passes an eighth of the limit


class SilenceWatch:
    """Watches one thread's connection; `begins` and `rests` are that thread's to call. `limit` is what a transaction
    may take between two calls of `begins`."""

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit.total_seconds()
        self._lock = threading.Lock()
        self._watched: tuple[float, psycopg.Connection[Any]] | None = None
        self._is_over = threading.Event()

    def begins(self, raw: psycopg.Connection[Any]) -> None:
        """From now on an answer is waited for."""
        with self._lock:
            self._watched = (time.monotonic(), raw)

    def rests(self) -> None:
        """Nothing is waited for."""
        with self._lock:
            self._watched = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Watch while the block runs."""
        thread = threading.Thread(target=self._watch, name="silence-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(self._limit / _LOOKS_A_LIMIT):
            with self._lock:
                if self._watched is None or time.monotonic() - self._watched[0] < self._limit:
                    continue
                raw, self._watched = self._watched[1], None
                # With the lock: the thread that is watched must not close it, and the number be another's, meanwhile.
                _shut_down(raw)


def _shut_down(raw: psycopg.Connection[Any]) -> None:
    """Wake whoever waits for an answer on this connection with its end."""
    try:
        with socket.socket(fileno=os.dup(raw.fileno())) as connected:
            connected.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error) as error:
        logger.warning("clock.silent_connection_not_shut_down", detail=str(error))
    else:
        logger.error("clock.server_silent", server_process=raw.info.backend_pid, hint="A new connection is made.")
