"""The clock's transactions: each has its limits, so that nothing that others hold makes it wait for ever.

The limits are set inside of each transaction (`SET LOCAL`, by `set_config`): behind a pooler in transaction mode a
connection's settings leak to others, or are lost. It costs one round trip a transaction. A clock's own process, which
has its connection for itself, sets them once for the connection instead (`owned`), where it finds that the server
itself is at the other end. A server that does not answer at all is noticed by TCP (see `DATABASES`), since it cannot
keep time limits either, and one process of it that stands still by `SilenceWatch`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import structlog
from django.db import connection, transaction

from scheduling import conf
from scheduling.clock.silence import SilenceWatch
from scheduling.postgres import binary_cursor

logger = structlog.get_logger(__name__)

# While the one that blocks is sought among a batch, each step waits no longer; nor does what must not delay others.
HURRIED = timedelta(milliseconds=250)
# And while one whose statement hangs is sought, a statement for a few of them takes no longer than so.
SEARCHING = timedelta(milliseconds=500)

# A server that has been silent for as long as so many statements may take stands still.
_TIMEOUTS_OF_A_TRANSACTION = 3

_NAMES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
_LIMIT = "SELECT " + ", ".join(f"set_config('{name}', %s, %s)" for name in _NAMES)
# A pooler answers with a process of its own making at the start of a session.
_SERVER_PROCESS = "SELECT pg_backend_pid()"

Limits = tuple[timedelta, timedelta, timedelta]

_at_most: ContextVar[timedelta | None] = ContextVar("_at_most", default=None)
_statement_at_most: ContextVar[timedelta | None] = ContextVar("_statement_at_most", default=None)
_is_owned: ContextVar[bool] = ContextVar("_is_owned", default=False)
_watch: ContextVar[SilenceWatch | None] = ContextVar("_watch", default=None)
# What limits a connection has of itself; None where it must not have any.
_kept: WeakKeyDictionary[psycopg.Connection[Any], Limits | None] = WeakKeyDictionary()


@contextmanager
def bounded(*, statement: timedelta | None = None) -> Iterator[Any]:
    """A cursor in a transaction with the clock's time-outs. Inside of another transaction its limits hold.

    `statement`: a limit of a statement other than the setting's, for housekeeping that has more to do at once.
    """
    is_outermost = not connection.in_atomic_block
    _answer_is_awaited()
    chosen = _chosen(statement)
    must_set = is_outermost and chosen != _limits_of_connection()
    with transaction.atomic(), connection.cursor() as cursor:
        if must_set:
            _set(cursor, chosen, only_here=True)
        yield cursor


@contextmanager
def single_statement() -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """A binary cursor for one statement under the clock's time-outs, that is its own transaction where it may be."""
    _answer_is_awaited()
    if not connection.in_atomic_block and _chosen() == _limits_of_connection():
        with binary_cursor(may_prepare=True) as cursor:
            yield cursor
    else:
        with bounded(), binary_cursor() as cursor:
            yield cursor


@contextmanager
def owned() -> Iterator[None]:
    """In this block nobody else uses this thread's connection: it may keep the clock's limits until the block ends, and
    is shut down where the server does not answer."""
    limit = conf.clock_statement_timeout() * _TIMEOUTS_OF_A_TRANSACTION
    watch = SilenceWatch(limit) if limit else None
    tokens = _is_owned.set(True), _watch.set(watch)
    try:
        with watch.running() if watch else nullcontext():
            yield
    finally:
        _is_owned.reset(tokens[0])
        _watch.reset(tokens[1])
        _forget_limits()


def rests() -> None:
    """The clock waits for something else than the server."""
    watch = _watch.get()
    if watch is not None:
        watch.rests()


def _answer_is_awaited() -> None:
    watch = _watch.get()
    if watch is not None:
        connection.ensure_connection()
        watch.begins(connection.connection)


@contextmanager
def hurried(at_most: timedelta = HURRIED) -> Iterator[None]:
    """In this block transactions wait for locks only for a moment; the shorter one, in another such block."""
    outer = _at_most.get()
    token = _at_most.set(at_most if outer is None else min(at_most, outer))
    try:
        yield
    finally:
        _at_most.reset(token)


@contextmanager
def searching(at_most: timedelta = SEARCHING) -> Iterator[None]:
    """In this block statements of transactions without a limit of their own take no longer than a moment."""
    token = _statement_at_most.set(at_most)
    try:
        yield
    finally:
        _statement_at_most.reset(token)


@contextmanager
def kept() -> Iterator[None]:
    """In this block the clock's own connection has the limits chosen here already, so that a single statement that must
    not be late needs no transaction around it. Two round trips: one before the block, and one after it."""
    usual, chosen = _limits_of_connection(), _chosen()
    if usual is None or usual == chosen:
        yield
        return
    raw = connection.connection
    _keep(raw, chosen)
    yield
    # Where the block failed, or lost its connection, each transaction goes on to set its own.
    if connection.connection is raw and not raw.closed:
        _keep(raw, usual)


def limits() -> Limits:
    """Of a statement, of a wait for a lock, and of silence in a transaction, as the settings say; 0 is no limit."""
    return conf.clock_statement_timeout(), conf.clock_lock_timeout(), conf.clock_idle_timeout()


def _chosen(statement: timedelta | None = None) -> Limits:
    """The limits of a transaction that begins here."""
    of_statement, lock, of_silence = limits()
    at_most = _at_most.get()
    if at_most is not None and (not lock or lock > at_most):
        lock = at_most
    most = _statement_at_most.get()
    if most is not None and (not of_statement or of_statement > most):
        of_statement = most
    return statement or of_statement, lock, of_silence


def _limits_of_connection() -> Limits | None:
    """The limits that the open connection keeps; None where each transaction has to set its own."""
    if not _is_owned.get():
        return None
    connection.ensure_connection()
    raw = connection.connection
    if raw not in _kept:
        with connection.cursor() as cursor:
            cursor.execute(_SERVER_PROCESS)
            is_direct = cursor.fetchone()[0] == raw.info.backend_pid
            if is_direct:
                _set(cursor, limits(), only_here=False)
        _kept[raw] = limits() if is_direct else None
        logger.debug("clock.connected", is_direct=is_direct)
    return _kept[raw]


def _keep(raw: Any, chosen: Limits) -> None:
    with connection.cursor() as cursor:
        _set(cursor, chosen, only_here=False)
    _kept[raw] = chosen


def _forget_limits() -> None:
    raw = connection.connection
    if raw is None or _kept.pop(raw, None) is None or raw.closed:
        return
    with connection.cursor() as cursor:
        for name in _NAMES:
            cursor.execute(f"RESET {name}")


def _set(cursor: Any, chosen: Limits, *, only_here: bool) -> None:
    """`only_here`: for the open transaction, otherwise for the connection."""
    cursor.execute(_LIMIT, [each for limit in chosen for each in (_milliseconds(limit), only_here)])


def _milliseconds(limit: timedelta) -> str:
    return str(max(1, limit // timedelta(milliseconds=1)) if limit else 0)
