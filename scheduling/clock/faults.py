"""What an error says about whom: somebody else's lock, the server, the schedule, or this program.

PostgreSQL says it by its SQLSTATE; the driver's and Django's classes are too coarse: a lock time-out, a deadlock and a
lost connection all are an OperationalError, and a transaction that idled too long is an InternalError.
"""

import random
import time
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

import psycopg
from django.db import DatabaseError, InterfaceError, OperationalError

from scheduling.errors import SchedulingError

RETRIES = 3  # of a transaction that lost against another one
_MAX_JITTER = 0.05  # seconds, times the number of the try

Result = TypeVar("Result")


class Fault(StrEnum):
    """The kinds of errors, as they are counted and logged."""

    LOCK_TIMEOUT = "lock_timeout"  # somebody else holds a row or table
    STATEMENT_TIMEOUT = "statement_timeout"  # or a person canceled it
    DEADLOCK = "deadlock"
    SERIALIZATION = "serialization"
    CONNECTION = "connection"  # lost, refused, cut off, led to a read-only server
    SERVER = "server"  # disk or memory full, too many connections
    SCHEMA = "schema"  # another release's tables, or missing rights
    REFUSED = "refused"  # these values, by the database or by our own rules
    UNEXPECTED = "unexpected"  # a mistake in this program, or inside of the server

    @property
    def is_collision(self) -> bool:
        """Somebody else was in the way; the same may succeed at once."""
        return self in (Fault.DEADLOCK, Fault.SERIALIZATION)

    @property
    def is_contention(self) -> bool:
        """No schedule is to blame: whoever holds the lock is, or the load."""
        return self.is_collision or self in (Fault.LOCK_TIMEOUT, Fault.STATEMENT_TIMEOUT)

    @property
    def is_everywhere(self) -> bool:
        """Trying fewer schedules would meet it as well."""
        return self in (Fault.CONNECTION, Fault.SERVER, Fault.SCHEMA)


_BY_STATE = {
    "55P03": Fault.LOCK_TIMEOUT,
    "57014": Fault.STATEMENT_TIMEOUT,
    "40P01": Fault.DEADLOCK,
    "54": Fault.REFUSED,
    "53": Fault.SERVER,
    "58": Fault.SERVER,
    "42": Fault.SCHEMA,
    "0A": Fault.SCHEMA,  # a kept plan whose table a migration has changed; a new connection knows the new one
    "3F": Fault.SCHEMA,
    "40": Fault.SERIALIZATION,
    "55": Fault.LOCK_TIMEOUT,
    "08": Fault.CONNECTION,
    "26": Fault.CONNECTION,  # a statement that was prepared on another connection, behind a pooler
    "25": Fault.CONNECTION,  # idle for too long, read-only, or in a state that only a new connection ends
    "28": Fault.CONNECTION,
    "3D": Fault.CONNECTION,
    "57": Fault.CONNECTION,
    "XX": Fault.UNEXPECTED,  # a damaged page may concern one schedule only
}


def fault_of(error: BaseException) -> Fault:
    """The kind of an error. What PostgreSQL refuses for its values is REFUSED, as are our own rules' refusals."""
    state = sqlstate_of(error)
    if state is not None:
        return _BY_STATE.get(state) or _BY_STATE.get(state[:2]) or Fault.REFUSED
    if isinstance(error, OperationalError | InterfaceError | psycopg.OperationalError | psycopg.InterfaceError):
        return Fault.CONNECTION
    if isinstance(error, DatabaseError | SchedulingError | ValueError | KeyError):
        return Fault.REFUSED
    return Fault.UNEXPECTED


def sqlstate_of(error: BaseException) -> str | None:
    """PostgreSQL's code, of the driver's error or of the one that Django wrapped; None for the client's own."""
    for candidate in (error, error.__cause__):
        if isinstance(candidate, psycopg.Error):
            return candidate.sqlstate
    return None


def retried(attempt: Callable[[], Result], *, seen: Callable[[Fault], None], tries: int = RETRIES) -> Result:
    """What `attempt` returns; after a deadlock or a serialization error once more, after a short random wait.

    `attempt` must be a whole transaction. The error of the last of `tries` is the caller's, as is any other.
    """
    for number in range(1, tries + 1):
        try:
            return attempt()
        except Exception as error:
            fault = fault_of(error)
            if not fault.is_collision or number == tries:
                raise
            seen(fault)
            time.sleep(random.uniform(0, _MAX_JITTER * number))  # noqa: S311 (it spreads rivals, it hides nothing)
    raise AssertionError("the last try returns or raises")
