"""JSON values as expressions see them: their types, truth, equality and text."""

import math
from typing import Any

import orjson

from pipelines.expressions.limits import MAX_INTEGER
from pipelines.expressions.metering import Meter


def type_name(value: Any) -> str:
    """The JMESPath type of `value`: null, boolean, number, string, array, object, or expression (`&x`)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "expression"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_true(value: Any) -> bool:
    """JMESPath truth: false are `false`, null, `""`, `[]` and `{}`; 0 is true."""
    return bool(value) or is_number(value)


def equal(left: Any, right: Any, meter: Meter) -> bool:
    """Deep equality that keeps booleans and numbers apart, where Python holds `1 == True`."""
    meter.spend()
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(
            equal(ours, theirs, meter) for ours, theirs in zip(left, right, strict=True)
        )
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key], meter) for key, value in left.items())
    return bool(left == right)


def to_text(value: Any) -> str:
    """How mixed text shows `value`: a string as it is, the rest as compact JSON, integral numbers without `.0`.

    Insertion order is kept and text is not escaped beyond what JSON asks.
    """
    if isinstance(value, str):
        return value
    plain = _without_point(value)
    if isinstance(plain, int) and not isinstance(plain, bool):
        return str(plain)
    return orjson.dumps(plain).decode()


def _without_point(value: Any) -> Any:
    if isinstance(value, float):
        return as_integer_if_integral(value)
    if isinstance(value, list):
        return [_without_point(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_point(item) for key, item in value.items()}
    return value


def as_integer_if_integral(number: int | float) -> int | float:
    """2.0 as 2; what a double cannot count in ones stays a double."""
    if isinstance(number, float) and math.isfinite(number) and number.is_integer() and abs(number) <= MAX_INTEGER:
        return int(number)
    return number
