"""JSON Schema 2020-12: checks whose every departure has a pointer. References outside the schema are refused."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import jsonschema_rs
import orjson
from jsonschema_rs import ValidationErrorKind as Kind

from pipelines.document.schema_work import Meter, TooMuchWork
from pipelines.expressions.suggestion import did_you_mean

_MAX_SHOWN = 80


class SchemaRefused(ValueError):  # a statement about the schema
    """What should be a JSON Schema is none, or refers to something outside itself."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Where and how a value departs from its schema. `keyword` is the schema's word that it breaks."""

    path: tuple[str | int, ...]
    keyword: str
    detail: str
    hint: str | None = None


class Schema:
    """A compiled schema."""

    __slots__ = ("_meter", "_validator", "source")

    def __init__(self, source: Any) -> None:
        self.source = source
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                source,
                validate_formats=True,
                retriever=_refuse,
                # Linear time: a backtracking pattern over a hostile value would hold the process.
                pattern_options=jsonschema_rs.RegexOptions(),
            )
        except ValueError as error:
            raise SchemaRefused(str(error).splitlines()[0]) from error
        try:
            self._meter = Meter(source)
        except TooMuchWork as error:
            raise SchemaRefused(str(error)) from error

    def fits(self, value: Any) -> bool:
        """False also for a value whose check would take too long."""
        try:
            self._meter.require_bearable(value)
        except TooMuchWork:
            return False
        return self._validator.is_valid(value)

    def breaches(self, value: Any) -> Iterator[Breach]:
        """Every departure, in the order of the schema; an unknown or missing property is one each. A value whose check
        would take too long has that one."""
        try:
            self._meter.require_bearable(value)
        except TooMuchWork as unbearable:
            yield Breach((), "$ref", str(unbearable))
            return
        for error in self._validator.iter_errors(value):
            path = tuple(error.instance_path)
            match error.kind:
                case Kind.AdditionalProperties(names) | Kind.UnevaluatedProperties(names):
                    known = _properties(self.source, error.schema_path)
                    for name in names:
                        hint = did_you_mean(name, known)
                        yield Breach((*path, name), error.kind.name, f"the field {name!r} is not known here", hint)
                case Kind.Required(name):
                    yield Breach(path, error.kind.name, f"the field {name!r} is required")
                case _:
                    yield Breach(path, error.kind.name, _shorten(error.message))


def compile_schema(source: Any) -> Schema:
    """Compile a schema, kept for the next caller. Raises SchemaRefused."""
    return _compile(orjson.dumps(source))


@lru_cache(maxsize=512)
def _compile(source: bytes) -> Schema:
    return Schema(orjson.loads(source))


def _properties(schema: Any, path: list[str | int]) -> list[str]:
    """The names that the schema knows where the keyword at `path` stands."""
    for key in path[:-1]:
        if isinstance(schema, Mapping):
            schema = schema.get(str(key))
        elif isinstance(schema, list) and isinstance(key, int):
            schema = schema[key]
    known = schema.get("properties") if isinstance(schema, Mapping) else None
    return list(known) if isinstance(known, Mapping) else []


def _shorten(message: str) -> str:
    """The library's message, without the end of a long value."""
    return message if len(message) <= 4 * _MAX_SHOWN else f"{message[:_MAX_SHOWN]}... {message[-_MAX_SHOWN:]}"


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is outside the schema and is not fetched")
