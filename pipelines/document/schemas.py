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
            yield from self._told(error)

    def _told(self, error: jsonschema_rs.ValidationError) -> Iterator[Breach]:
        path = tuple(error.instance_path)
        match error.kind:
            case Kind.AdditionalProperties(names) | Kind.UnevaluatedProperties(names):
                known = _properties(self.source, error.schema_path)
                for name in names:
                    hint = did_you_mean(name, known)
                    yield Breach((*path, name), error.kind.name, f"the field {name!r} is not known here", hint)
            case Kind.Required(name):
                yield Breach(path, error.kind.name, f"the field {name!r} is required")
            case Kind.AnyOf(branches) | Kind.OneOfNotValid(branches):
                yield from self._told_of_choice(error, branches)
            case _:
                yield Breach(path, error.kind.name, _shorten(error.message))

    def _told_of_choice(
        self, error: jsonschema_rs.ValidationError, branches: list[list[jsonschema_rs.ValidationError]]
    ) -> Iterator[Breach]:
        """What the branch says that is for values of this type; of several, what each of them says."""
        path = tuple(error.instance_path)
        of_type = [branch for branch in branches if not any(_is_of_other_type(each, path) for each in branch)]
        if len(of_type) == 1:
            for each in of_type[0]:
                yield from self._told(each)
            return
        missing = [_missing(branch, path) for branch in branches]
        if all(missing):
            detail = f"one of the fields {', '.join(map(repr, missing))} is required"
            yield Breach(path, "required", detail)
        else:
            told = (breach for branch in branches for each in branch for breach in self._told(each))
            details = "; ".join(dict.fromkeys(breach.detail for breach in told))
            yield Breach(path, error.kind.name, _shorten(f"none of the choices fits: {details}"))


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


def _is_of_other_type(error: jsonschema_rs.ValidationError, path: tuple[str | int, ...]) -> bool:
    """Whether the error says that what stands at `path` is of another type than is taken there."""
    return isinstance(error.kind, Kind.Type) and tuple(error.instance_path) == path


def _missing(branch: list[jsonschema_rs.ValidationError], path: tuple[str | int, ...]) -> str | None:
    """The field whose lack at `path` is all that a branch complains of."""
    match [(error.kind, tuple(error.instance_path)) for error in branch]:
        case [(Kind.Required(name), place)] if place == path:
            return str(name)
        case _:
            return None


def _shorten(message: str) -> str:
    """The library's message, without the end of a long value."""
    return message if len(message) <= 4 * _MAX_SHOWN else f"{message[:_MAX_SHOWN]}... {message[-_MAX_SHOWN:]}"


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is outside the schema and is not fetched")
