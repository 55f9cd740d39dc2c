"""Columns of a batch: lists that are sent as PostgreSQL arrays of one fixed type.

psycopg chooses the type of a plain list from what is in it, so a column whose values all happen to be None, or small,
would be another statement to prepare each time.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from psycopg import AsyncConnection, postgres
from psycopg.types.array import ListBinaryDumper


class Column(list[Any]):
    """A column of `type_name`; None is NULL."""

    type_name: ClassVar[str]


class Uuids(Column):
    type_name = "uuid"


class Texts(Column):
    type_name = "text"


class Smallints(Column):
    type_name = "int2"


class Integers(Column):
    type_name = "int4"


class Bigints(Column):
    type_name = "int8"


class Floats(Column):
    type_name = "float8"


class Booleans(Column):
    type_name = "bool"


class Blobs(Column):
    type_name = "bytea"


class Instants(Column):
    type_name = "timestamptz"


def _dumpers() -> Iterator[tuple[type[Column], type[ListBinaryDumper]]]:
    for column in Column.__subclasses__():
        info = postgres.types[column.type_name]
        attributes = {"oid": info.array_oid, "element_oid": info.oid}
        yield column, type(f"{column.__name__}Dumper", (ListBinaryDumper,), attributes)


# Made once: the driver caches by class, and a class a connection would never be forgotten.
_DUMPERS = tuple(_dumpers())


def register(connection: AsyncConnection[Any]) -> None:
    """Let `connection` take columns as parameters."""
    for column, dumper in _DUMPERS:
        connection.adapters.register_dumper(column, dumper)
