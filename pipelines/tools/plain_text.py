"""Text from outside, made harmless for a log line or an error: no line breaks, no terminal escapes; or such that it can
be stored at least."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

# Cc: controls (escape, backspace, line feed); Cf: invisible marks, right-to-left overrides among them; Cs: lone
# surrogates, which no UTF-8 sink takes; Zl and Zp: the line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Cf also holds the joiners that emoji and several scripts are written with.
_JOINERS = frozenset("\u200c\u200d")

# What PostgreSQL, or UTF-8, has no form for.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """`text` as a plain `str` with U+FFFD for each NUL and each half of a surrogate pair."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def with_storable_texts(value: Any) -> Any:
    """A copy of lists and mappings whose texts, keys included, are `storable`. Raises RecursionError for a circle."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {with_storable_texts(key): with_storable_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_storable_texts(item) for item in value]
    return value


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, and a mark where there were more."""
    return text if len(text) <= limit else text[:limit] + "…"


def message_of(error: BaseException) -> str:
    """What an exception says, whatever its class has made of `__str__`."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - it is a tool's code, in the middle of telling its failure
        return "its text cannot be read"


def neutralised(text: str, *, limit: int | None = None) -> str:
    r"""`text` with every unsafe character written as an escape such as `\x1b`, cut to `limit` characters with a mark.

    >>> neutralised("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    if limit is not None:
        text = cut(text, limit)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in _JOINERS or unicodedata.category(character) not in _UNSAFE
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
