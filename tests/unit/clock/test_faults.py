"""Whose fault an error is."""

import psycopg
import pytest
from django.db import DataError, InterfaceError, InternalError, OperationalError
from django.db.utils import DatabaseErrorWrapper

from scheduling.clock.faults import RETRIES, Fault, fault_of, retried
from scheduling.errors import NotValid


def from_server(sqlstate: str) -> Exception:
    """What Django raises for that code: the driver's error, wrapped."""

    class Backend:
        Database = psycopg
        errors_occurred = False

    try:
        with DatabaseErrorWrapper(Backend()):
            raise psycopg.errors.lookup(sqlstate)("said by the server")
    except Exception as error:  # noqa: BLE001 - it is what the test is about
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("sqlstate", "wrapped", "fault"),
    [
        ("40P01", OperationalError, Fault.DEADLOCK),
        ("40001", OperationalError, Fault.SERIALIZATION),
        ("55P03", OperationalError, Fault.LOCK_TIMEOUT),
        ("57014", OperationalError, Fault.STATEMENT_TIMEOUT),
        ("57P01", OperationalError, Fault.CONNECTION),
        ("57P03", OperationalError, Fault.CONNECTION),
        ("08006", OperationalError, Fault.CONNECTION),
        ("25P03", InternalError, Fault.CONNECTION),
        ("25006", InternalError, Fault.CONNECTION),
        ("53100", OperationalError, Fault.SERVER),
        ("53300", OperationalError, Fault.SERVER),
        ("42P01", Exception, Fault.SCHEMA),
        ("0A000", Exception, Fault.SCHEMA),
        ("26000", Exception, Fault.CONNECTION),
        ("42703", Exception, Fault.SCHEMA),
        ("42501", Exception, Fault.SCHEMA),
        ("XX001", InternalError, Fault.UNEXPECTED),
        ("22P02", DataError, Fault.REFUSED),
        ("23514", Exception, Fault.REFUSED),
        ("P0001", Exception, Fault.REFUSED),
    ],
)
def test_the_sqlstate_says_whose_fault_it_is(sqlstate: str, wrapped: type[Exception], fault: Fault) -> None:
    error = from_server(sqlstate)

    assert isinstance(error, wrapped)
    assert fault_of(error) is fault
    assert fault_of(psycopg.errors.lookup(sqlstate)("said by the server")) is fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (psycopg.OperationalError("the connection is lost"), Fault.CONNECTION),
        (InterfaceError("connection already closed"), Fault.CONNECTION),
        (DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), Fault.REFUSED),
        (NotValid("a rule of ours"), Fault.REFUSED),
        (KeyError("missing"), Fault.REFUSED),
        (TypeError("a mistake of ours"), Fault.UNEXPECTED),
        (MemoryError(), Fault.UNEXPECTED),
    ],
)
def test_errors_without_a_sqlstate_are_told_by_their_class(error: Exception, fault: Fault) -> None:
    assert fault_of(error) is fault


def test_a_collision_is_tried_again_and_counted() -> None:
    errors = [from_server("40P01"), from_server("40001")]
    seen: list[Fault] = []

    def attempt() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert retried(attempt, seen=seen.append) == "done"
    assert seen == [Fault.DEADLOCK, Fault.SERIALIZATION]


def test_a_collision_that_goes_on_is_raised_after_a_bounded_number_of_tries() -> None:
    tries: list[int] = []

    def attempt() -> None:
        tries.append(1)
        raise from_server("40P01")

    with pytest.raises(OperationalError):
        retried(attempt, seen=lambda fault: None)
    assert len(tries) == RETRIES


def test_anything_else_is_not_tried_again() -> None:
    tries: list[int] = []

    def attempt() -> None:
        tries.append(1)
        raise from_server("55P03")

    with pytest.raises(OperationalError):
        retried(attempt, seen=lambda fault: None)
    assert len(tries) == 1
