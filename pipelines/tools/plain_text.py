"""Text from outside, made harmless for a log line or an error: no line breaks, no terminal escapes."""

import unicodedata

# Cc: controls (escape, backspace, line feed); Cf: invisible marks, right-to-left overrides among them; Cs: lone
# surrogates, which no UTF-8 sink takes; Zl and Zp: the line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Cf also holds the joiners that emoji and several scripts are written with.
_JOINERS = frozenset("\u200c\u200d")


def neutralised(text: str, *, limit: int | None = None) -> str:
    r"""`text` with every unsafe character written as an escape such as `\x1b`, cut to `limit` characters with a mark.

    >>> neutralised("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    if limit is not None and len(text) > limit:
        text = text[:limit] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in _JOINERS or unicodedata.category(character) not in _UNSAFE
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
