"""A worker's own connections to PostgreSQL: psycopg 3, asynchronous, autocommit, reopened after a loss.

Django's connections belong to threads and block; the loop of a worker process must do neither.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from psycopg.conninfo import make_conninfo

from scheduling.conf import prepares_statements
from workers import columns
from workers.points import BEFORE_ANY_STATEMENT, reach

Row = tuple[Any, ...]

CONNECT_TIMEOUT = 5
# What a table or column that is missing means here: the migrations of this release have not run yet.
_SCHEMA_IS_BEHIND = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedObject)
# What the caller's data is to blame for. Everything else (a lost connection, a server that is starting, stopping or
# read-only, a deadlock) passes, and the same statement may be tried again.
REFUSED = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)


# For this transaction alone: behind a pooler the connection is not ours.
LIMIT_OF_SILENCE = "SELECT set_config('idle_in_transaction_session_timeout', %s, true)"


class DatabaseUnavailable(Exception):
    """The database cannot be reached, is not ready, or lacks the schema; to be tried again after a while."""


def conninfo(url: str = "") -> str:
    """The address of the database Django works on, or of that database behind another front (`url`).

    Raises ImproperlyConfigured where none is configured.
    """
    if connections["default"].vendor == "unknown":
        raise ImproperlyConfigured("settings.DATABASES is improperly configured: it names no engine.")
    parameters = {
        name: value
        for name, value in connections["default"].get_connection_params().items()
        if isinstance(value, str | int) and name not in {"client_encoding", "prepare_threshold"}
    }
    if url:
        return make_conninfo(url, dbname=parameters["dbname"])
    return make_conninfo("", **parameters)


class Database:
    """One connection, opened at its first use and again after each loss. For several tasks in turn.

    Errors are raised as DatabaseUnavailable, those that the data is to blame for (`REFUSED`) as psycopg's own.
    """

    def __init__(self, *, name: str, address: str, limit: timedelta) -> None:
        """`name` is shown by the server; no statement may take longer than `limit`."""
        self._name = name
        self._address = address
        self._limit = limit.total_seconds()
        self._connection: psycopg.AsyncConnection[Row] | None = None
        self._opening = asyncio.Lock()
        self._turn = asyncio.Lock()

    async def fetch(self, statement: bytes, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement in a transaction of its own and return its rows; an empty list where it gives none."""
        async with self._guarded() as connection, self._turn:
            return await _fetch(connection, statement, parameters)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        """Several statements in one transaction, by `fetch_within`; `fetch` of other tasks waits for its end.

        A process that stands still in the middle of it loses it, and its locks, after the limit.
        """
        async with self._guarded() as connection, self._turn, connection.transaction():
            await connection.execute(LIMIT_OF_SILENCE, [f"{self._limit:.3f}s"])
            yield connection

    async def open(self) -> psycopg.AsyncConnection[Row]:
        """The open connection. Raises DatabaseUnavailable."""
        async with self._guarded() as connection:
            return connection

    async def close(self) -> None:
        """Close at once; the object may be used again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @contextlib.asynccontextmanager
    async def _guarded(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        try:
            async with asyncio.timeout(self._limit):
                yield await self._opened()
        except TimeoutError as error:
            await self.close()
            raise DatabaseUnavailable(f"no answer within {self._limit:.0f} s") from error
        except _SCHEMA_IS_BEHIND as error:
            raise DatabaseUnavailable(f"the schema is not there yet, run `migrate`: {_first_line(error)}") from error
        except REFUSED:
            raise
        except (psycopg.Error, OSError) as error:
            if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | OSError):
                await self.close()
            raise DatabaseUnavailable(_first_line(error)) from error

    async def _opened(self) -> psycopg.AsyncConnection[Row]:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._connection = await psycopg.AsyncConnection.connect(
                    self._address,
                    autocommit=True,
                    connect_timeout=CONNECT_TIMEOUT,
                    application_name=self._name,
                    prepare_threshold=3 if prepares_statements() else None,
                )
                columns.register(self._connection)
            return self._connection


async def _fetch(
    connection: psycopg.AsyncConnection[Row], statement: bytes, parameters: Mapping[str, Any] | None
) -> list[Row]:
    reach(BEFORE_ANY_STATEMENT)
    cursor = connection.cursor(binary=True)
    await cursor.execute(statement, parameters)
    return await cursor.fetchall() if cursor.description else []


async def fetch_within(
    connection: psycopg.AsyncConnection[Row], statement: bytes, parameters: Mapping[str, Any] | None = None
) -> list[Row]:
    """As `Database.fetch`, inside a transaction that `Database.transaction` opened."""
    return await _fetch(connection, statement, parameters)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
