"""Taking secret values out of what tools give back, say and log.

What comes from outside cannot be followed by computation, only searched: for each value, for what an expression has
made of it, and for the usual encodings of both, inside of longer texts too, and in whatever case: the name of a host,
say, is told in small letters.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from pipelines.errors import PipelineError
from pipelines.secrets.forms import folded, forms

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
            for form in forms(value):
                found.setdefault(folded(form), shown(name))
        # Longer ones first: one that is inside of another would leave the rest of it.
        self._needles = sorted(found.items(), key=lambda each: -len(each[0]))

    def text(self, text: str) -> str:
        """`text` without them. The time is linear in its length for each of the forms, the memory a copy of it."""
        compared = folded(text)
        for needle, instead in self._needles:
            if needle in compared:
                text = _replaced(text, compared, needle, instead)
                compared = folded(text)
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


def _replaced(text: str, compared: str, needle: str, instead: str) -> str:
    """`text` with `instead` at the places where `compared`, which is as long, has the needle."""
    kept: list[str] = []
    begin = 0
    while (found := compared.find(needle, begin)) >= 0:
        kept.append(text[begin:found])
        begin = found + len(needle)
    kept.append(text[begin:])
    return instead.join(kept)
