"""For tools that work in Ordinaut's own database, in a thread of the pool."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection

from pipelines.errors import ErrorClass, PipelineError


@contextmanager
def own_database() -> Iterator[None]:
    """A database that cannot be had, or is held up, is a transient failure of the step. The connection is closed
    behind it: the thread is one of many, and seldom needs it again."""
    try:
        yield
    except OperationalError as error:
        raise PipelineError("database_unavailable", ErrorClass.TRANSIENT, str(error).strip()) from error
    finally:
        connection.close()
