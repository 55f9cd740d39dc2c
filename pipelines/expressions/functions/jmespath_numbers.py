"""JMESPath's own functions over numbers, strings and types.

Semantics: https://jmespath.org/specification.html#built-in-functions.
"""

import math
import re
from typing import Any

import orjson

from pipelines.expressions.functions.arithmetic import checked, divide
from pipelines.expressions.functions.registry import function
from pipelines.expressions.limits import MAX_INTEGER
from pipelines.expressions.metering import Meter
from pipelines.expressions.values import equal, to_text, type_name

# A JSON number and nothing else: Python's own conversions also take `1_000`, ` 1 `, `inf` and other scripts' digits.
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MAX_NUMBER_TEXT = 400


@function("abs(value: number) -> number", ("abs(-3)", 3), standard=True)
def absolute(value: float) -> float:
    """The number without its sign."""
    return abs(value)


@function("avg(values: array[number]) -> number", ("avg([1, 2, 6])", 3), standard=True)
def average(values: list[float]) -> float | None:
    """The mean of the numbers, null of an empty list."""
    return divide(sum(values), len(values)) if values else None


@function("ceil(value: number) -> number", ("ceil(1.2)", 2), standard=True)
def ceiling(value: float) -> float:
    """The least integer that is not below the number."""
    return math.ceil(value) if abs(value) < MAX_INTEGER else value


@function("floor(value: number) -> number", ("floor(1.8)", 1), standard=True)
def floor(value: float) -> float:
    """The greatest integer that is not above the number."""
    return math.floor(value) if abs(value) < MAX_INTEGER else value


@function("sum(values: array[number]) -> number", ("sum([1, 2, 3])", 6), standard=True)
def total(values: list[float]) -> float:
    """The sum of the numbers, 0 of an empty list."""
    return checked(sum(values))


@function(
    "contains(subject: array | string, search: any) -> boolean",
    ("contains(['a', 'b'], 'b')", True),
    ("contains('briefing', 'brief')", True),
    standard=True,
    metered=True,
)
def contains(meter: Meter, subject: list[Any] | str, search: Any) -> bool:
    """Whether the list has that item, or the string that part."""
    if isinstance(subject, str):
        return isinstance(search, str) and search in subject
    return any(equal(item, search, meter) for item in subject)


@function("starts_with(text: string, prefix: string) -> boolean", ("starts_with('abc', 'ab')", True), standard=True)
def starts_with(text: str, prefix: str) -> bool:
    """Whether the string begins so."""
    return text.startswith(prefix)


@function("ends_with(text: string, suffix: string) -> boolean", ("ends_with('abc', 'bc')", True), standard=True)
def ends_with(text: str, suffix: str) -> bool:
    """Whether the string ends so."""
    return text.endswith(suffix)


@function("length(subject: string | array | object) -> number", ("length([1, 2])", 2), standard=True)
def length(subject: str | list[Any] | dict[str, Any]) -> int:
    """How many characters, items or keys."""
    return len(subject)


@function(
    "join(glue: string, texts: array[string]) -> string",
    ("join(', ', ['a', 'b'])", "a, b"),
    standard=True,
    metered=True,
)
def join(meter: Meter, glue: str, texts: list[str]) -> str:
    """The strings in one, `glue` between them."""
    meter.spend_text(sum(map(len, texts)) + len(glue) * len(texts))
    return glue.join(texts)


@function(
    "reverse(subject: string | array) -> string | array",
    ("reverse([1, 2])", [2, 1]),
    ("reverse('ab')", "ba"),
    standard=True,
)
def reverse(subject: str | list[Any]) -> str | list[Any]:
    """Back to front."""
    return subject[::-1]


@function("to_array(value: any) -> array", ("to_array('a')", ["a"]), standard=True)
def to_array(value: Any) -> list[Any]:
    """The list itself, anything else as a list of one."""
    return value if isinstance(value, list) else [value]


@function("to_string(value: any) -> string", ("to_string({a: 1})", '{"a":1}'), standard=True, metered=True)
def to_string(meter: Meter, value: Any) -> str:
    """A string as it is, anything else as compact JSON."""
    meter.spend_whole(value)
    return to_text(value)


@function(
    "to_number(value: any) -> number",
    ("to_number('12')", 12),
    ("to_number('1.5e3')", 1500),
    ("to_number('twelve')", None),
    standard=True,
)
def to_number(value: Any) -> float | None:
    """A number as it is, a string that holds a JSON number as that number, anything else null."""
    if type_name(value) == "number":
        return value  # type: ignore[no-any-return]
    if not isinstance(value, str) or len(value) > _MAX_NUMBER_TEXT or not _JSON_NUMBER.fullmatch(value):
        return None
    number: float = orjson.loads(value)
    return float(number) if abs(number) > MAX_INTEGER else number


@function("type(value: any) -> string", ("type('a')", "string"), ("type(null)", "null"), standard=True)
def type_of(value: Any) -> str:
    """`null`, `boolean`, `number`, `string`, `array` or `object`."""
    return type_name(value)


@function("not_null(values: any...) -> any", ("not_null(null, 'a')", "a"), standard=True)
def not_null(*values: Any) -> Any:
    """The first argument that is not null, else null."""
    return next((value for value in values if value is not None), None)
