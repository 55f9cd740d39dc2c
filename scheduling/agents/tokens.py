"""The text of bearer tokens: `ord_` + prefix + `_` + 256 random bits.

The prefix finds the row, the digest of the whole text proves the token. Whoever reads the database learns neither.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass

_FORM = re.compile(r"ord_([0-9a-z]{6,16})_[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenText:
    """A freshly made token. `text` is shown once and kept nowhere; the rest is stored."""

    text: str
    prefix: str
    digest: str

    def __repr__(self) -> str:
        return f"TokenText({self.prefix})"


def new_token() -> TokenText:
    prefix = secrets.token_hex(6)
    text = f"ord_{prefix}_{secrets.token_urlsafe(32)}"
    return TokenText(text=text, prefix=prefix, digest=digest_of(text))


def prefix_of(text: str) -> str | None:
    """The prefix of a well-formed token, None for any other text."""
    match = _FORM.fullmatch(text)
    return None if match is None else match[1]


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def proves(text: str, digest: str) -> bool:
    """True when the digest is of this text; takes the same time wherever they differ."""
    return secrets.compare_digest(digest_of(text), digest)
