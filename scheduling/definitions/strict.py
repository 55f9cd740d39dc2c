"""The strict serializer, and `parse`, which turns what it refuses into problems with pointers."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from scheduling.definitions.json_values import escape, problems_of
from scheduling.errors import NotValid, Problem

_CODES = {"invalid": "invalid_value", "null": "null_not_allowed", "blank": "empty", "invalid_choice": "unknown_choice"}


class Code(str):
    """An error code that carries a hint and a pointer below the field through DRF, which keeps codes as they are."""

    __slots__ = ("hint", "pointer")

    hint: str | None
    pointer: str

    def __new__(cls, text: str, *, hint: str | None = None, pointer: str = "") -> "Code":
        code = super().__new__(cls, text)
        code.hint = hint
        code.pointer = pointer
        return code


def refusal(code: str, detail: str, *, hint: str | None = None) -> ValidationError:
    """The error that a field raises for its own value."""
    return ValidationError([ErrorDetail(detail, Code(code, hint=hint))])


def refusal_of(problems: Iterable[Problem]) -> ValidationError:
    """The error of a field whose value has problems of its own; their pointers are relative to the field."""
    return ValidationError(
        [ErrorDetail(each.detail, Code(each.code, hint=each.hint, pointer=each.pointer)) for each in problems]
    )


def did_you_mean(word: object, known: Iterable[str]) -> str | None:
    """A hint that names the nearest of the known words, None where none is near."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else None


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that takes an object with known members only. `elsewhere` tells where a foreign member belongs.

    One that `is_whole` is given whole or not at all, even where a change may leave other members out. What is in
    `unkept` members is not stored: `parse` leaves it to their fields whether it could be.
    """

    elsewhere: Mapping[str, str] = {}
    unkept: frozenset[str] = frozenset()
    is_whole = False

    default_error_messages = {"invalid": "This must be an object."}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            refused = refusal("not_an_object", f"This must be an object, not {json_type(data)}.")
            raise ValidationError({"non_field_errors": refused.detail})
        errors: dict[str, Any] = {}
        value: Any = None
        try:
            value = super().to_internal_value(data)
        except ValidationError as error:
            errors.update(error.detail if isinstance(error.detail, dict) else {"": error.detail})
        writable = [name for name, field in self.fields.items() if not field.read_only]
        for name in data:
            if name not in writable:
                errors[str(name)] = self._unknown(name, writable)
        for name, field in self.fields.items():
            if self.is_whole and field.required and name not in data:
                errors[name] = [ErrorDetail("This field is required.", "required")]
        if errors:
            raise ValidationError(errors)
        return value

    def _unknown(self, name: object, writable: list[str]) -> list[ErrorDetail]:
        hint = self.elsewhere.get(str(name)) or did_you_mean(name, writable)
        hint = hint or f"Known here: {', '.join(writable)}."
        shown = str(name).encode("utf-8", "replace").decode()[:80]
        return [ErrorDetail(f"There is no field {shown!r}.", Code("unknown_field", hint=hint))]


def parse(kind: type[StrictSerializer], given: Any, *, partial: bool = False, **context: Any) -> dict[str, Any]:
    """The validated members of `given`, or NotValid with every problem at once.

    With `partial` members may be missing, and then they are missing in the answer too. `context` is what the fields
    of this kind ask for.
    """
    kept = given
    if kind.unkept and isinstance(given, Mapping):
        kept = {name: value for name, value in given.items() if name not in kind.unkept}
    unstorable = problems_of(kept)
    if unstorable:
        raise NotValid.because(unstorable)
    serializer = kind(data=given, partial=partial, context=context)
    if not serializer.is_valid():
        raise NotValid.because(problems_in(serializer.errors))
    return dict(serializer.validated_data)


def problems_in(errors: Any, pointer: str = "") -> Iterator[Problem]:
    """The problems of DRF's nested errors."""
    if isinstance(errors, Mapping):
        for name, inner in errors.items():
            is_own = name in ("", "non_field_errors")
            yield from problems_in(inner, pointer if is_own else f"{pointer}/{escape(name)}")
        return
    for index, inner in enumerate(errors):
        if isinstance(inner, ErrorDetail):
            yield _problem(inner, pointer)
        elif inner:
            yield from problems_in(inner, f"{pointer}/{index}")


def json_type(value: Any) -> str:
    """What a reader of JSON calls the type of the value."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")


def _problem(error: ErrorDetail, pointer: str) -> Problem:
    code = error.code
    if isinstance(code, Code):
        return Problem(pointer=f"{pointer}{code.pointer}", code=str(code), detail=str(error), hint=code.hint)
    return Problem(pointer=pointer, code=_CODES.get(code or "", code or "invalid_value"), detail=str(error))
