"""Taking secret values out of what tools give back, say and log.

What comes from outside cannot be followed by computation, only searched: for each value, for what an expression has
made of it, and for the usual encodings of both, inside of longer texts too.
"""

import base64
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

from pipelines.errors import PipelineError

# What is shorter would be found in texts that have nothing to do with it.
SHORTEST = 8

_active: ContextVar["Redaction | None"] = ContextVar("_active", default=None)


def shown(name: str) -> str:
    """What stands in the place of a secret wherever something is shown."""
    return f"[secret {name}]"


class Redaction:
    """Knows some secrets, and takes them out. Immutable; has no representation that tells anything."""

    def __init__(self, secrets: Mapping[str, str], derived: Iterable[tuple[str, str]] = ()) -> None:
        """`secrets`: values by name. `derived`: name and text of what an expression has made of them."""
        found: dict[str, str] = {}
        for name, value in [*secrets.items(), *derived]:
            for form in _forms(value):
                found.setdefault(form, shown(name))
        # Longer ones first: one that is inside of another would leave the rest of it.
        self._needles = sorted(found.items(), key=lambda each: -len(each[0]))

    def text(self, text: str) -> str:
        for needle, instead in self._needles:
            if needle in text:
                text = text.replace(needle, instead)
        return text

    def value(self, value: Any) -> Any:
        """A copy of a JSON value without them, keys included; other objects stay as they are."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key) if isinstance(key, str) else key: self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, tuple):
            return tuple(self.value(item) for item in value)
        return value

    def error(self, error: PipelineError) -> PipelineError:
        """The same failure in words that have none; its traceback is left behind."""
        cause = None if error.cause is None else self.value(dict(error.cause))
        clean = replace(
            error,
            code=self.text(error.code),
            detail=self.text(error.detail),
            cause=cause,
            extra=self.value(dict(error.extra)),
        )
        clean.__cause__ = clean.__context__ = None
        return clean

    @contextmanager
    def active(self) -> Iterator[None]:
        """In this block, and in threads that copy its context, logs have none of them."""
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)


def redact_log(_logger: Any, _method: str, event: Any) -> Any:
    """A structlog processor: what is logged while a redaction is active goes through it."""
    redaction = _active.get()
    return event if redaction is None else redaction.value(event)


def redacted_error(error: PipelineError) -> PipelineError:
    """The error without the secrets of the redaction that is active, itself where none is."""
    redaction = _active.get()
    return error if redaction is None else redaction.error(error)


def _forms(value: str) -> Iterator[str]:
    """The value and its usual encodings, as far as they are long enough to be told from other texts."""
    if len(value) < SHORTEST:
        return
    raw = value.encode("utf-8", "surrogatepass")
    percent = (
        quote(value, safe="", errors="replace"),
        quote(value, errors="replace"),
        quote_plus(value, errors="replace"),
    )
    yield from {
        value,
        *percent,
        *(_lower_escapes(each) for each in percent),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        html.escape(value),
        raw.hex(),
        raw.hex().upper(),
        *_base64_forms(raw),
    }


def _lower_escapes(text: str) -> str:
    """`%2F` as `%2f`."""
    head, *parts = text.split("%")
    return "%".join((head, *(part[:2].lower() + part[2:] for part in parts)))


def _base64_forms(raw: bytes) -> Iterator[str]:
    """What of base64 depends on these bytes alone, for each of the three places where they may begin in a group: they
    are found inside of what was encoded together, such as `user:password`."""
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        whole = (before + len(raw)) * 8 // 6
        piece = encoded[skipped:whole]
        if len(piece) >= SHORTEST:
            yield piece
            yield piece.translate(str.maketrans("+/", "-_"))
