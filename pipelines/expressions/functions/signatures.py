"""Signatures of functions, written as the reference shows them and read from that text.

`pad(text: string | number, width: number, fill?: string) -> string`: a mark after the name makes a parameter
optional, `...` after the type of the last one takes any number of values (one at least), `array[number]` bounds the
items, `expression` is `&x`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.expressions import errors
from pipelines.expressions.errors import ExpressionError
from pipelines.expressions.values import type_name

_SIGNATURE = re.compile(r"(?P<name>\w+)\((?P<parameters>.*)\) -> (?P<returns>.+)")
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


@dataclass(frozen=True, slots=True)
class Parameter:
    """`types` are pairs of a type and, for arrays, the type of the items (None: any)."""

    name: str
    types: tuple[tuple[str, str | None], ...]
    is_optional: bool
    is_variadic: bool

    @property
    def is_reference(self) -> bool:
        return self.types == (("expression", None),)

    def accepts(self, value: Any) -> bool:
        found = type_name(value)
        for wanted, item in self.types:
            if wanted == "any" and found != "expression":
                return True
            if wanted == found and (item is None or all(type_name(each) == item for each in value)):
                return True
        return False

    def describe(self) -> str:
        return " or ".join(kind if item is None else f"array of {item}s" for kind, item in self.types)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and returns; `text` is the line that the reference shows."""

    text: str
    name: str
    parameters: tuple[Parameter, ...]
    returns: str

    @classmethod
    def read(cls, text: str) -> "Signature":
        match = _SIGNATURE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no signature")
        parameters = tuple(_read_parameter(part) for part in match["parameters"].split(", ") if part)
        return cls(text=text, name=match["name"], parameters=parameters, returns=match["returns"])

    @property
    def least(self) -> int:
        return sum(not parameter.is_optional for parameter in self.parameters)

    @property
    def most(self) -> int | None:
        """None where any number will do."""
        if self.parameters and self.parameters[-1].is_variadic:
            return None
        return len(self.parameters)

    def check_count(self, count: int) -> None:
        """Raises ExpressionError (`invalid_arity`)."""
        if count >= self.least and (self.most is None or count <= self.most):
            return
        wanted = str(self.least) if self.most == self.least else f"at least {self.least}"
        if self.most is not None and self.most != self.least:
            wanted = f"{self.least} to {self.most}"
        plural = "" if wanted == "1" else "s"
        raise ExpressionError(
            errors.INVALID_ARITY,
            f"{self.name}() takes {wanted} argument{plural}, not {count}",
            hint=self.text,
            specification_name="invalid-arity",
        )

    def check_references(self, are_references: Sequence[bool]) -> None:
        """`&x` stands where an expression is taken and nowhere else. Raises ExpressionError (`bad_argument`)."""
        last = len(self.parameters) - 1
        for position, is_reference in enumerate(are_references):
            parameter = self.parameters[min(position, last)]
            if is_reference is not parameter.is_reference:
                wanted = (
                    "an expression such as &name" if parameter.is_reference else f"no &, but {parameter.describe()},"
                )
                raise ExpressionError(
                    errors.BAD_ARGUMENT,
                    f"{self.name}() takes {wanted} as its {_ordinal(position)} argument",
                    hint=self.text,
                    specification_name="invalid-type",
                )

    def check_types(self, values: Sequence[Any]) -> None:
        """Raises ExpressionError (`bad_argument`) for the first value of a type that is not taken there."""
        for position, value in enumerate(values):
            self.check_type(position, value)

    def check_type(self, position: int, value: Any) -> None:
        """The same for the value at one position."""
        parameter = self.parameter(position)
        if not parameter.accepts(value):
            hint = "default(value, fallback) answers a null" if value is None else self.text
            raise self._wrong_type(parameter, position, type_name(value), hint)

    def check_returned(self, position: int, inner: "Signature") -> None:
        """Raises ExpressionError (`bad_argument`) where nothing that `inner` returns is taken at that position."""
        parameter = self.parameter(position)
        taken, given = ({kind for kind, _ in types} for types in (parameter.types, _read_types(inner.returns)))
        if not taken & given and "any" not in taken | given:
            raise self._wrong_type(parameter, position, f"the {inner.returns} of {inner.name}()", self.text)

    def parameter(self, position: int) -> Parameter:
        """What is taken at that position; a variadic one at all that follow."""
        return self.parameters[min(position, len(self.parameters) - 1)]

    def _wrong_type(self, parameter: Parameter, position: int, given: str, hint: str) -> ExpressionError:
        return ExpressionError(
            errors.BAD_ARGUMENT,
            f"{self.name}() takes {parameter.describe()} as its {_ordinal(position)} argument, not {given}",
            hint=hint,
            specification_name="invalid-type",
        )


def _ordinal(position: int) -> str:
    return _ORDINALS[position] if position < len(_ORDINALS) else f"{position + 1}th"


def _read_parameter(text: str) -> Parameter:
    name, _, types = text.partition(": ")
    is_variadic = types.endswith("...")
    return Parameter(
        name=name.rstrip("?"),
        types=_read_types(types.removesuffix("...")),
        is_optional=name.endswith("?"),
        is_variadic=is_variadic,
    )


def _read_types(text: str) -> tuple[tuple[str, str | None], ...]:
    return tuple(_read_type(each) for each in text.split(" | "))


def _read_type(text: str) -> tuple[str, str | None]:
    if text.startswith("array["):
        return "array", text.removeprefix("array[").removesuffix("]")
    return text, None
