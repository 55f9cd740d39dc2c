"""Whether a result is too large, told without encoding it.

The encoder (orjson) ends the process by a fault where its buffer cannot grow, as under the limit of an isolated tool's
address space: a result must be known to be small before it gets there.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

# The encoder refuses what nests deeper, and so whatever contains itself.
_DEEPEST = 256
_LEAST_OF_A_MEMBER = 5  # bytes: `"":1,`


def is_surely_larger(value: Any, limit: int) -> bool:
    """True where `value` takes more than `limit` bytes as JSON. Where it is False, `value` may still take a dozen times
    as much: characters and numbers are counted as one byte. Stops where the limit is passed; copies no text."""
    size = 0
    inside: list[Iterator[Any]] = [iter((value,))]
    while inside:
        for item in inside[-1]:
            size += _least_bytes(item)
            if size > limit:
                return True
            parts = _parts(item)
            if parts is not None and len(inside) <= _DEEPEST:
                inside.append(iter(parts))
                break
        else:
            inside.pop()
    return False


def _least_bytes(item: Any) -> int:
    """What the item takes itself; of its parts what the commas and the names of members take at the least."""
    if isinstance(item, str):
        return len(item) + 2
    if isinstance(item, dict):
        return _LEAST_OF_A_MEMBER * len(item)
    return len(item) if isinstance(item, list | tuple) else 1


def _parts(item: Any) -> Iterable[Any] | None:
    """The items or members that the encoder writes; None of what has none."""
    if isinstance(item, list | tuple):
        return item
    if isinstance(item, dict):
        # A copy: a thread that the tool has left behind may change it meanwhile.
        return [*item.keys(), *item.values()]
    if dataclasses.is_dataclass(item):
        return [getattr(item, field.name, None) for field in dataclasses.fields(item)]
    return None
