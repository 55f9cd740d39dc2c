"""The clock's transactions: each sets its own limits, so that nothing that others hold makes it wait for ever.

The limits are set inside of each transaction (`SET LOCAL`, by `set_config`), not for the connection: behind a pooler
in transaction mode a connection's settings leak to others, or are lost. It costs one round trip a transaction.
A server that does not answer at all is noticed by TCP (see `DATABASES`), since it cannot keep time limits either.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from scheduling import conf

# While the one that blocks is sought among a batch, each step waits no longer.
HURRIED = timedelta(milliseconds=250)

_LIMIT = """
SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true),
       set_config('idle_in_transaction_session_timeout', %s, true)
"""

_at_most: ContextVar[timedelta | None] = ContextVar("_at_most", default=None)


@contextmanager
def bounded(*, statement: timedelta | None = None) -> Iterator[Any]:
    """A cursor in a transaction with the clock's time-outs. Inside of another transaction its limits hold.

    `statement`: a limit of a statement other than the setting's, for housekeeping that has more to do at once.
    """
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        if is_outermost:
            of_statement, of_lock, of_silence = limits()
            chosen = (statement or of_statement, of_lock, of_silence)
            cursor.execute(_LIMIT, [_milliseconds(limit) for limit in chosen])
        yield cursor


@contextmanager
def hurried() -> Iterator[None]:
    """In this block transactions wait for locks only for a moment: the search for who blocks must not take long."""
    token = _at_most.set(HURRIED)
    try:
        yield
    finally:
        _at_most.reset(token)


def limits() -> tuple[timedelta, timedelta, timedelta]:
    """Of a statement, of a wait for a lock, and of silence in a transaction; 0 is no limit."""
    lock = conf.clock_lock_timeout()
    at_most = _at_most.get()
    if at_most is not None and (not lock or lock > at_most):
        lock = at_most
    return conf.clock_statement_timeout(), lock, conf.clock_idle_timeout()


def _milliseconds(limit: timedelta) -> str:
    return str(max(1, limit // timedelta(milliseconds=1)) if limit else 0)
