"""The forms in which a secret value may come back, and their comparison without regard to case."""

import base64
import html
import json
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

# What is shorter would be found in texts that have nothing to do with it.
SHORTEST = 8  # characters
_LONGEST_HOST = 253  # characters; also a bound on the encoder, whose time grows with the square of a label
_LONGEST_LABEL = 63  # characters


def folded(text: str) -> str:
    """`text` such that case does not matter, character for character: positions are the same in both.

    Of all characters `İ` alone grows in lower case, and the small sigma alone depends on where it stands.
    """
    return text.lower() if text.isascii() else text.replace("İ", "i").lower().replace("ς", "σ")  # noqa: RUF001 - it is Greek


def forms(value: str) -> Iterator[str]:
    """The value and its usual encodings, as far as they are long enough to be told from other texts. Those that differ
    by case alone count as one: compare them `folded`."""
    if len(value) >= SHORTEST:
        yield from (form for form in {*_written(value), *_packed(value)} if len(form) >= SHORTEST)


def host_of(text: str) -> str:
    """The host of what looks like an absolute URL, else all of the text."""
    _, is_url, rest = text.partition("://")
    if not is_url:
        return text
    for end in "/?#\\":
        rest = rest.partition(end)[0]
    return rest.rpartition("@")[2].partition(":")[0]


def _written(value: str) -> Iterator[str]:
    """As texts, also of what other case mappings and normalisation make of it: they change more than the case where a
    character becomes two (`ß`, `ﬁ`), and an address is normalised before it is used. Blanks around it get lost, and the
    dot at the end of a host."""
    bare = value.strip()
    made = {value, bare, bare.rstrip("."), value.upper(), value.casefold(), unicodedata.normalize("NFKC", value)}
    for text in made:
        yield from (
            text,
            quote(text, safe="", errors="replace"),
            quote(text, errors="replace"),
            quote_plus(text, errors="replace"),
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            repr(text)[1:-1],
            html.escape(text),
        )
    if not value.isascii():
        # Small letters have other escapes than capitals: %C3%A4 and %C3%84.
        yield from (quote(value.lower(), safe="", errors="replace"), json.dumps(value.lower())[1:-1])
        yield from _as_host(value.strip())


def _packed(value: str) -> Iterator[str]:
    """As bytes in hexadecimal digits and in base64."""
    raw = value.encode("utf-8", "surrogatepass")
    yield raw.hex()
    yield from _base64_forms(raw)


def _as_host(host: str) -> Iterator[str]:
    """The name as a URL and as a resolver have it, where each label that needs it is in Punycode; as IDNA 2008 and IDNA
    2003 map it."""
    if len(host) > _LONGEST_HOST:
        return
    for mapped in {unicodedata.normalize("NFC", host.lower()), unicodedata.normalize("NFKC", host.casefold())}:
        name = mapped.replace("。", ".")
        yield name
        labels = name.split(".")
        if all(len(label) <= _LONGEST_LABEL for label in labels):
            yield ".".join(_label(each) for each in labels)


def _label(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode', 'replace').decode('ascii')}"


def _base64_forms(raw: bytes) -> Iterator[str]:
    """What of base64 depends on these bytes alone, for each of the three places where they may begin in a group: they
    are found inside of what was encoded together, such as `user:password`."""
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        whole = (before + len(raw)) * 8 // 6
        piece = encoded[skipped:whole]
        yield piece
        yield piece.translate(str.maketrans("+/", "-_"))
