"""How values are kept: orjson's text as bytes, and only values that come back as they went in.

One value that PostgreSQL or a reader refuses would fail the whole batch it is committed with, so it is refused here.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from pipelines.document.encodable import faults

INLINE_LIMIT = 32 * 1024  # bytes of one value in the row itself; a larger result becomes an artifact
_SMALL = 1024  # bytes of a member that is kept of an input that is too large
_OPTIONS = orjson.OPT_STRICT_INTEGER  # integers past 2^53 lose digits in other readers


class Unstorable(ValueError):
    """A value that JSON or PostgreSQL cannot keep unchanged; the text says which."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A large result, named by the SHA-256 of its bytes."""

    digest: str
    content: bytes


def encode(value: Any) -> bytes:
    """The bytes of `value`. Raises Unstorable for NaN, infinities, NUL, lone surrogates and integers past 2^53."""
    try:
        text = orjson.dumps(value, option=_OPTIONS)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unstorable(str(error)) from None
    # orjson writes NaN as null and NUL as an escape: only a text that has one of the two needs the slow look.
    if (b"null" in text or b"\\u0000" in text) and (fault := next(faults(value), None)) is not None:
        raise Unstorable(fault.reason)
    return text


def decode(text: bytes | memoryview | None) -> Any:
    return None if text is None else orjson.loads(text)


def encode_input(value: Any) -> bytes | None:
    """An input is kept to be read by people, and its small members by the engine, which goes on with the instant that a
    step waits for: past the limit, size and digest stand in for the members that are large."""
    if value is None:
        return None
    text = encode(value)
    if len(text) <= INLINE_LIMIT:
        return text
    if isinstance(value, dict):
        members = {name: encode(member) for name, member in value.items()}
        kept = {
            name: orjson.Fragment(member if len(member) <= _SMALL else _stand_in(member))
            for name, member in members.items()
        }
        shortened = orjson.dumps(kept)
        if len(shortened) <= INLINE_LIMIT:
            return shortened
    return _stand_in(text)


def _stand_in(text: bytes) -> bytes:
    return orjson.dumps({"truncated": {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}})


def encode_output(value: Any) -> tuple[bytes | None, Artifact | None]:
    """The bytes of a result for its row, or, past the limit, the artifact that takes them."""
    if value is None:
        return None, None
    text = encode(value)
    if len(text) <= INLINE_LIMIT:
        return text, None
    return None, Artifact(hashlib.sha256(text).hexdigest(), text)
