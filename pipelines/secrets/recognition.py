"""Which values that were made of a secret can be told again where they come back, and so may be given to a tool.

A tool that echoes gives away whatever cannot be found in what it says: a truth about a secret, its length, a few of its
characters. Many of those together are the secret.
"""

from typing import Any, NamedTuple

from pipelines.expressions import Expression
from pipelines.expressions.results import NO_TEXT
from pipelines.expressions.values import type_name
from pipelines.secrets.forms import SHORTEST


class Unrecognisable(NamedTuple):
    """Why a value may not be given to a tool, in words that do not show it."""

    code: str
    detail: str
    hint: str


def why_unrecognisable(value: Any) -> Unrecognisable | None:
    """None for a text of at least 8 characters, not counting blanks around it, which get lost on the way."""
    if not isinstance(value, str):
        return _not_text(type_name(value))
    return _too_short() if len(value.strip()) < SHORTEST else None


def why_never_recognisable(expression: Expression) -> Unrecognisable | None:
    """The same for all that the expression can give, as far as its text tells."""
    if expression.longest_text is None or expression.longest_text >= SHORTEST:
        return None
    return _not_text("no text") if expression.longest_text == NO_TEXT else _too_short()


def _not_text(found: str) -> Unrecognisable:
    return Unrecognisable(
        "secret_not_text",
        f"an expression that reads a secret gives a text, and this one gives {found}; "
        "anything else could not be found in what the tool says, and would tell of the secret",
        "lists and objects are written in the document, with an expression for each text",
    )


def _too_short() -> Unrecognisable:
    return Unrecognisable(
        "secret_too_short",
        f"an expression that reads a secret gives a text of at least {SHORTEST} characters; "
        "a shorter one could not be found in what the tool says, and would tell a part of the secret",
        "give the tool the whole secret, and set parts of it that stand for themselves as secrets of their own",
    )
