"""Text from the bytes of a web answer, whatever its header claims."""

import codecs
import re

# Python also knows codecs that are no character sets of the web, some with quadratic decoders (punycode, idna).
_CHARACTER_SETS = re.compile(
    r"utf-?(8|16|32).*|ascii|iso8859-\d+|cp\d+|koi8-\w|gbk|gb2312|gb18030|big5(hkscs)?|shift_jis.*|euc_\w+|iso2022_\w+|mac-.*"
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def decoded(content: bytes, *, charset: str | None) -> str:
    """`content` as text: by its character set, else UTF-8; what does not decode, and NUL, becomes U+FFFD."""
    return content.decode(_known(charset), errors="replace").replace("\0", _REPLACEMENT)


def _known(charset: str | None) -> str:
    try:
        name = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return name if _CHARACTER_SETS.fullmatch(name) else "utf-8"
