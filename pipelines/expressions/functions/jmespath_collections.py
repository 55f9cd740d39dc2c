"""JMESPath's own functions over lists and objects, and those that take an expression (`&x`) for each item."""

from collections.abc import Callable, Sequence
from typing import Any

from pipelines.expressions import errors
from pipelines.expressions.errors import ExpressionError
from pipelines.expressions.functions.registry import function
from pipelines.expressions.metering import Meter
from pipelines.expressions.values import type_name

Each = Callable[[Any], Any]


@function("keys(subject: object) -> array", ("keys({a: 1, b: 2})", ["a", "b"]), standard=True)
def keys(subject: dict[str, Any]) -> list[str]:
    """The names in an object, in its order."""
    return list(subject)


@function("values(subject: object) -> array", ("values({a: 1, b: 2})", [1, 2]), standard=True)
def values(subject: dict[str, Any]) -> list[Any]:
    """The values in an object, in its order."""
    return list(subject.values())


@function("merge(objects: object...) -> object", ("merge({a: 1, b: 1}, {b: 2})", {"a": 1, "b": 2}), standard=True)
def merge(*objects: dict[str, Any]) -> dict[str, Any]:
    """One object of all; of a name that occurs twice the last value stays."""
    merged: dict[str, Any] = {}
    for each in objects:
        merged.update(each)
    return merged


@function(
    "map(each: expression, items: array) -> array", ("map(&name, [{name: 'a'}, {age: 3}])", ["a", None]), standard=True
)
def map_items(each: Each, items: list[Any]) -> list[Any]:
    """The expression of each item, nulls kept (a projection drops them)."""
    return [each(item) for item in items]


@function("max(values: array[number] | array[string]) -> any", ("max([1, 3, 2])", 3), standard=True)
def largest(values: list[Any]) -> Any:
    """The largest, null of an empty list."""
    return max(values, default=None)


@function("min(values: array[number] | array[string]) -> any", ("min(['b', 'a'])", "a"), standard=True)
def smallest(values: list[Any]) -> Any:
    """The smallest, null of an empty list."""
    return min(values, default=None)


@function("max_by(items: array, by: expression) -> any", ("max_by([{n: 1}, {n: 2}], &n)", {"n": 2}), standard=True)
def largest_by(items: list[Any], by: Each) -> Any:
    """The item whose expression is largest, null of an empty list."""
    return _extreme(items, _sort_keys(items, by, "max_by"), max)


@function("min_by(items: array, by: expression) -> any", ("min_by([{n: 1}, {n: 2}], &n)", {"n": 1}), standard=True)
def smallest_by(items: list[Any], by: Each) -> Any:
    """The item whose expression is smallest, null of an empty list."""
    return _extreme(items, _sort_keys(items, by, "min_by"), min)


@function(
    "sort(values: array[number] | array[string]) -> array", ("sort([3, 1, 2])", [1, 2, 3]), standard=True, metered=True
)
def sort(meter: Meter, values: list[Any]) -> list[Any]:
    """In rising order; strings by code point."""
    meter.spend(_sorting_cost(values))
    return sorted(values)


@function(
    "sort_by(items: array, by: expression) -> array",
    ("sort_by([{n: 2}, {n: 1}], &n)[*].n", [1, 2]),
    standard=True,
    metered=True,
)
def sort_by(meter: Meter, items: list[Any], by: Each) -> list[Any]:
    """In rising order of the expression; equal ones keep their order."""
    meter.spend(_sorting_cost(items))
    found = _sort_keys(items, by, "sort_by")
    return [items[position] for position in sorted(range(len(items)), key=found.__getitem__)]


def _sorting_cost(items: Sequence[Any]) -> int:
    return len(items) * len(items).bit_length() // 8


def _sort_keys(items: Sequence[Any], by: Each, name: str) -> list[Any]:
    """The expression of each item: all numbers or all strings."""
    found = [by(item) for item in items]
    kinds = {type_name(key) for key in found}
    if kinds <= {"number"} or kinds <= {"string"}:
        return found
    raise ExpressionError(
        errors.BAD_ARGUMENT,
        f"{name}() needs an expression that gives all numbers or all strings, this gives {', '.join(sorted(kinds))}",
        hint="default(value, fallback) answers a null",
        specification_name="invalid-type",
    )


def _extreme(items: Sequence[Any], found: list[Any], choose: Callable[..., int]) -> Any:
    if not items:
        return None
    return items[choose(range(len(items)), key=found.__getitem__)]
