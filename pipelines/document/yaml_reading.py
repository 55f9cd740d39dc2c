"""YAML 1.2 with the core schema, read from parser events.

The schema of YAML 1.1, which most loaders follow, turns the key `on` into true, `1:30` into 90 and `NO` into false.
ruamel.yaml's own 1.2 loader still makes dates of what looks like one, so only its parser is used. Keys are the text
that is written: a document is JSON, whose keys are strings.
"""

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from pipelines.document import limits

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    spelling: value
    for word, value in (("true", True), ("false", False))
    for spelling in (word, word.capitalize(), word.upper())
}
_MAX_DIGITS = 400


class YamlRefused(ValueError):  # a statement about the text
    """The text is no YAML, or YAML that a document may not use. `line` counts from 1."""

    def __init__(self, detail: str, *, line: int | None, hint: str | None = None) -> None:
        self.line = line
        self.hint = hint
        super().__init__(detail if line is None else f"line {line}: {detail}")


def read_yaml(text: str) -> Any:
    """The value of the one document in `text`. Raises YamlRefused."""
    try:
        return _Reader(YAML(typ="safe", pure=True).parse(text)).read()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise YamlRefused(error.problem or "this is no YAML", line=line) from error
    except YAMLError as error:
        raise YamlRefused(f"this is no YAML: {str(error).splitlines()[0]}", line=None) from error


class _Reader:
    """Builds the value from events. An alias shares the value it repeats; its size counts each time."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0

    def read(self) -> Any:
        found: list[Any] = []
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if found:
                    raise _refusal(event, "a second document begins; one is expected")
                found.append(self._value(next(self._events), depth=1))
        return found[0] if found else None

    def _value(self, event: Event, *, depth: int) -> Any:
        if depth > limits.MAX_DEPTH:
            raise _refusal(event, f"this nests more than {limits.MAX_DEPTH} levels deep")
        if isinstance(event, AliasEvent):
            return self._repeated(event)
        if (tag := getattr(event, "tag", None)) is not None:
            raise _refusal(event, f"the tag {tag} is not known here", hint="write the value without a tag")
        before = self._values
        self._count(event, 1)
        value = self._node(event, depth)
        if (anchor := getattr(event, "anchor", None)) is not None:
            self._anchors[anchor] = (value, self._values - before)
        return value

    def _node(self, event: Event, depth: int) -> Any:
        if isinstance(event, ScalarEvent):
            return _scalar(event)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(depth)
        assert isinstance(event, MappingStartEvent)
        return self._mapping(depth)

    def _sequence(self, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, depth=depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = _key(event)
            if key in items:
                raise _refusal(event, f"the key {key!r} occurs twice")
            items[key] = self._value(next(self._events), depth=depth + 1)
        return items

    def _repeated(self, event: AliasEvent) -> Any:
        if event.anchor not in self._anchors:
            raise _refusal(event, f"the alias *{event.anchor} repeats nothing that is complete before it")
        value, size = self._anchors[event.anchor]
        self._count(event, size)
        return value

    def _count(self, event: Event, size: int) -> None:
        self._values += size
        if self._values > limits.MAX_VALUES:
            raise _refusal(event, f"the document holds more than {limits.MAX_VALUES} values, aliases followed")


def _key(event: Event) -> str:
    if not isinstance(event, ScalarEvent) or event.anchor is not None or event.tag is not None:
        raise _refusal(event, "a key must be plain text")
    return str(event.value)


def _scalar(event: ScalarEvent) -> Any:
    text = str(event.value)
    is_plain = event.implicit[0] and event.style is None
    if not is_plain:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        raise _refusal(event, f"{text} is no JSON number", hint="put it in quotes to keep it a text")
    return _number(event, text)


def _number(event: ScalarEvent, text: str) -> Any:
    """The number that the core schema sees in a plain scalar, else the text itself."""
    is_number = (
        _INTEGER.fullmatch(text) or _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text) or _FLOAT.fullmatch(text)
    )
    if not is_number:
        return text
    if len(text) > _MAX_DIGITS:
        raise _refusal(event, "this number has too many digits", hint="put it in quotes to keep it a text")
    if _INTEGER.fullmatch(text):
        return int(text)
    if text.startswith(("0o", "0x")):
        return int(text, 0)
    return float(text)


def _refusal(event: Event, detail: str, *, hint: str | None = None) -> YamlRefused:
    return YamlRefused(detail, line=event.start_mark.line + 1, hint=hint)
