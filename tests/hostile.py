"""What nobody sends who means well: the values with which whole surfaces are walked."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from zlib import crc32

from django.db import transaction

_IS_TORTURE = "ORDINAUT_TEST_TORTURE_SEED" in os.environ
NUL = "a\x00b"
# No ids, no numbers, no patterns, no instants, and instants and numbers that are past every end.
JUNK = (
    "not-a-uuid",
    "-1",
    "9" * 5000,
    "[" * 20_000,
    '{"a": "\\u0000", "b": NaN}',
    "9999-12-31T23:59:59-12:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59",
    "\u00b2\u0661",
)


def some_of(values: Sequence[Any], place: str, count: int = 2) -> list[Any]:
    """A few of the values, others at each place: a walk sends each somewhere, and not all of them everywhere. Under
    `make torture ARGS='tests ...'` all of them."""
    if _IS_TORTURE:
        return list(values)
    first = crc32(place.encode())
    return [values[(first + number) % len(values)] for number in range(count)]


class Turns:
    """Where even one of the values at each place is too much: the next of them at one place of so many, so that none is
    left out. Under torture all of them at each place."""

    def __init__(self, values: Sequence[Any], *, places: int) -> None:
        self._values = values
        self._places = places
        self._seen = 0

    def at_next_place(self) -> list[Any]:
        if _IS_TORTURE:
            return list(self._values)
        turn, waits = divmod(self._seen, self._places)
        self._seen += 1
        return [] if waits else [self._values[turn % len(self._values)]]


@contextmanager
def undone() -> Iterator[None]:
    """What a request writes is taken back, and a statement that the server refused spoils no other request."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:30]}... ({len(text)})"
