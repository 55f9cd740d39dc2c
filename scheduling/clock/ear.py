"""Hearing of changed schedules: a connection for LISTEN that nobody waits for.

It is opened in a thread. Polling is the truth: without an ear the clock looks each second.
"""

import threading
import time
from typing import Any

import psycopg
import structlog
from django.db import connection

from scheduling import conf
from scheduling.wakeup import SCHEDULES_CHANNEL

logger = structlog.get_logger(__name__)

_FIRST_WAIT = 1.0  # seconds from a failed try to the next; doubles
_LONGEST_WAIT = 60.0
_PATIENCE = ("connect_timeout", "tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count")


class Ear:
    """One listening connection, opened when it is first asked for and again after a loss. For one thread."""

    def __init__(self) -> None:
        self.has_heard = False  # whether the last wait ended with a notification
        self._open: psycopg.Connection[Any] | None = None
        self._opening: threading.Thread | None = None
        self._wait = _FIRST_WAIT
        self._not_before = 0.0
        self._is_closed = False

    def connection(self) -> psycopg.Connection[Any] | None:
        """The open connection; None while there is none, and where the server's front does not let us listen."""
        if self._open is not None and not self._open.closed:
            return self._open
        is_opening = self._opening is not None and self._opening.is_alive()
        url = conf.direct_url()
        if url and not is_opening and time.monotonic() >= self._not_before:
            address = _of_this_database(url)
            self._not_before = time.monotonic() + self._wait
            self._opening = threading.Thread(target=self._connect, args=(address,), name="ear", daemon=True)
            self._opening.start()
            # A server that answers does so in milliseconds.
            self._opening.join(0.05)
        return self._open

    def wait(self, seconds: float) -> bool:
        """Wait for a notification at most so long; False where there is no connection to wait on, or no longer."""
        self.has_heard = False
        listening = self.connection()
        if listening is None:
            return False
        try:
            for _ in listening.notifies(timeout=seconds, stop_after=1):
                self.has_heard = True
                break
        except psycopg.Error as error:
            self._lose(error)
            return False
        return True

    def close(self) -> None:
        self._is_closed = True
        if self._open is not None:
            self._open.close()

    def _connect(self, address: str) -> None:
        try:
            opened = psycopg.connect(address, autocommit=True)
        except psycopg.Error as error:
            self._lose(error)
            return
        try:
            opened.execute(f"LISTEN {SCHEDULES_CHANNEL}")
        except psycopg.Error as error:
            opened.close()
            self._lose(error)
            return
        if self._is_closed:
            opened.close()
            return
        self._open, self._wait = opened, _FIRST_WAIT

    def _lose(self, error: Exception) -> None:
        detail = str(error).strip()[:300]
        logger.warning("clock.polls_only", detail=detail, retry_in=self._wait, hint="Set DATABASE_DIRECT_URL.")
        if self._open is not None:
            self._open.close()
            self._open = None
        self._not_before = time.monotonic() + self._wait
        self._wait = min(self._wait * 2, _LONGEST_WAIT)


def _of_this_database(url: str) -> str:
    """The direct address, with the name of the database that Django has open (tests have their own), and as patient
    with a server that falls silent as Django's connection is; the address's own options win."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    options = connection.settings_dict.get("OPTIONS") or {}
    patience = {name: options[name] for name in _PATIENCE if name in options and name not in given}
    return psycopg.conninfo.make_conninfo(url, dbname=connection.settings_dict["NAME"], **patience)
