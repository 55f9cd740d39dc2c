"""Columns of a batch: lists that are sent as PostgreSQL arrays of one fixed type.

psycopg chooses the type of a plain list from what is in it, so a column whose values all happen to be None, or small,
would be another statement to prepare each time.
"""

import struct
from collections.abc import Iterator
from typing import Any, ClassVar

from psycopg import AsyncConnection, postgres
from psycopg.abc import Buffer
from psycopg.types.array import ListBinaryDumper

_HEAD = struct.Struct("!iiIii")  # dimensions, whether there are NULLs, the element's type, length, lower bound
_LENGTH = struct.Struct("!i")
_NULL = _LENGTH.pack(-1)


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


class _ColumnDumper(ListBinaryDumper):
    """The library's binary form of an array, made faster: most columns of a batch hold few different values, and those
    are converted once."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        if not obj:
            return super().dump(obj)
        cells = {value: self._cell(value) for value in set(obj)}
        head = _HEAD.pack(1, None in cells, self.element_oid, len(obj), 1)
        return b"".join([head, *map(cells.__getitem__, obj)])

    def _cell(self, value: Any) -> bytes:
        text = None if value is None or self.sub_dumper is None else self.sub_dumper.dump(value)
        return _NULL if text is None else _LENGTH.pack(len(text)) + text


class _UuidsDumper(_ColumnDumper):
    """All different, and slow to hash."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        if None in obj:
            return super().dump(obj)
        length = _LENGTH.pack(16)
        head = _HEAD.pack(1, 0, self.element_oid, len(obj), 1)
        return b"".join([head, *(length + value.bytes for value in obj)]) if obj else super().dump(obj)


def _dumpers() -> Iterator[tuple[type[Column], type[ListBinaryDumper]]]:
    for column in Column.__subclasses__():
        info = postgres.types[column.type_name]
        base = _UuidsDumper if column is Uuids else _ColumnDumper
        attributes = {"oid": info.array_oid, "element_oid": info.oid}
        yield column, type(f"{column.__name__}Dumper", (base,), attributes)


# Made once: the driver caches by class, and a class a connection would never be forgotten.
_DUMPERS = tuple(_dumpers())


def register(connection: AsyncConnection[Any]) -> None:
    """Let `connection` take columns as parameters."""
    for column, dumper in _DUMPERS:
        connection.adapters.register_dumper(column, dumper)
