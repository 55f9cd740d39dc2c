"""Values that every reader of JSON reads alike, and the copy of a value that JSON makes.

Refused: NaN and infinities, integers past 2^53, lone surrogates, NUL (PostgreSQL stores none), keys that are no
strings, anything that is no JSON. The engine uses the copy even where nothing crashed, so that a resumed run sees what
the first one saw.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from pipelines.expressions.limits import MAX_INTEGER

Path = tuple[str | int, ...]

# Nothing but JSON's own types: without these orjson would write dates, dataclasses and subclasses in its own way.
_STRICT = (
    orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a value is no portable JSON, and why. `code` is the one that the API has for the same thing elsewhere."""

    path: Path
    reason: str
    code: str = "unusable_value"


class NotEncodable(ValueError):  # a statement about the value
    """The value has no portable JSON form."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.reason)


def copy_through_json(value: Any) -> tuple[Any, int]:
    """The value as it comes back from JSON, and the bytes it took. Raises NotEncodable."""
    try:
        encoded = orjson.dumps(value, option=_STRICT)
    except TypeError as error:
        raise NotEncodable(next(faults(value), Fault((), str(error)))) from error
    copy = orjson.loads(encoded)
    # orjson writes NaN as null and takes NUL; the walk that finds them is needed only where one can be.
    if (b"\\u0000" in encoded or copy != value) and (fault := next(faults(value), None)) is not None:
        raise NotEncodable(fault)
    return copy, len(encoded)


def faults(value: Any, *, max_depth: int = 250) -> Iterator[Fault]:
    """Every place where `value` is no portable JSON, deeper ones than `max_depth` unseen."""
    pending: list[tuple[Any, Path]] = [(value, ())]
    while pending:
        current, path = pending.pop()
        fault = _fault_of(current, path)
        if fault is None and len(path) > max_depth:
            fault = Fault(path, f"nests more than {max_depth} levels deep")
        if fault is not None:
            yield fault
        elif isinstance(current, dict):
            pending.extend((item, (*path, key)) for key, item in reversed(current.items()))
            yield from (found for key in current if (found := _key_fault(key, path)) is not None)
        elif isinstance(current, list | tuple):
            pending.extend((item, (*path, index)) for index, item in reversed(list(enumerate(current))))


def _fault_of(value: Any, path: Path) -> Fault | None:
    if isinstance(value, str):
        return _text_fault(value, path)
    if value is None or isinstance(value, bool | dict | list | tuple):
        return None
    if isinstance(value, int):
        if abs(value) <= MAX_INTEGER:
            return None
        reason = f"{value} is past 2^53, where JSON readers differ; write it as text"
        return Fault(path, reason, "integer_too_large")
    if isinstance(value, float):
        return None if math.isfinite(value) else Fault(path, f"{value} is no JSON number")
    return Fault(path, f"a {type(value).__name__} is no JSON value")


def _text_fault(text: str, path: Path) -> Fault | None:
    if "\0" in text:
        return Fault(path, "a text may not contain NUL (U+0000)", "nul_character")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Fault(path, "a text may not contain half of a surrogate pair", "lone_surrogate")
    return None


def _key_fault(key: Any, path: Path) -> Fault | None:
    place = (*path, str(key))
    return _text_fault(key, place) if isinstance(key, str) else Fault(place, f"the key {key!r} is no text")
