"""Lists and objects, beyond what JMESPath brings."""

from collections.abc import Callable
from typing import Any

import orjson

from pipelines.expressions.functions.arithmetic import add
from pipelines.expressions.functions.registry import bad_argument, function
from pipelines.expressions.metering import Meter
from pipelines.expressions.values import is_number, to_text, type_name

Each = Callable[[Any], Any]


@function("take(items: array, count: number) -> array", ("take([1, 2, 3], 2)", [1, 2]))
def take(items: list[Any], count: float) -> list[Any]:
    """The first so many."""
    return items[: _count(count, "take")]


@function("skip(items: array, count: number) -> array", ("skip([1, 2, 3], 2)", [3]))
def skip(items: list[Any], count: float) -> list[Any]:
    """Without the first so many."""
    return items[_count(count, "skip") :]


@function("unique(items: array) -> array", ("unique([1, 2, 1])", [1, 2]), metered=True)
def unique(meter: Meter, items: list[Any]) -> list[Any]:
    """Each value once, where it first occurs."""
    meter.spend_whole(items)
    first: dict[bytes, Any] = {}
    for item in items:
        first.setdefault(_identity(item), item)
    return list(first.values())


@function(
    "group_by(items: array, by: expression) -> object",
    (
        "group_by([{k: 'a', n: 1}, {k: 'b', n: 2}, {k: 'a', n: 3}], &k)",
        {"a": [{"k": "a", "n": 1}, {"k": "a", "n": 3}], "b": [{"k": "b", "n": 2}]},
    ),
)
def group_by(items: list[Any], by: Each) -> dict[str, list[Any]]:
    """An object of lists: the items under the text of their expression, in the order of their first items."""
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(_key(by(item), "group_by"), []).append(item)
    return groups


@function(
    "index_by(items: array, by: expression) -> object",
    ("index_by([{k: 'a', n: 1}, {k: 'b', n: 2}], &k).b.n", 2),
)
def index_by(items: list[Any], by: Each) -> dict[str, Any]:
    """An object of the items under the text of their expression; of equal ones the last stays."""
    return {_key(by(item), "index_by"): item for item in items}


@function("sum_by(items: array, by: expression) -> number", ("sum_by([{n: 1}, {n: 2}], &n)", 3))
def sum_by(items: list[Any], by: Each) -> float:
    """The sum of the expression over the items, 0 of an empty list."""
    total: float = 0
    for item in items:
        number = by(item)
        if not is_number(number):
            raise bad_argument(
                f"sum_by() needs an expression that gives numbers, this gives {type_name(number)}",
                hint="default(value, 0) answers a null",
            )
        total = add(total, number)
    return total


@function("zip(lists: array...) -> array", ("zip(['a', 'b'], [1, 2, 3])", [["a", 1], ["b", 2]]))
def zip_lists(*lists: list[Any]) -> list[list[Any]]:
    """Lists of the first items, of the second ones and so on, as long as the shortest."""
    return [list(items) for items in zip(*lists, strict=False)]


@function(
    "range(start: number, end?: number, step?: number) -> array",
    ("range(3)", [0, 1, 2]),
    ("range(1, 4)", [1, 2, 3]),
    ("range(4, 0, -2)", [4, 2]),
    metered=True,
)
def number_range(meter: Meter, start: float, end: float | None = None, step: float = 1) -> list[int]:
    """Whole numbers from `start` (0 when there is one argument) up to, not including, `end`."""
    if any(number != int(number) for number in (start, end or 0, step)):
        raise bad_argument("range() takes whole numbers")
    if step == 0:
        raise bad_argument("range() takes a step that is not 0")
    first, last = (0, start) if end is None else (start, end)
    numbers = range(int(first), int(last), int(step))
    meter.spend(_bounded_length(numbers))
    return list(numbers)


def _bounded_length(numbers: range) -> int:
    # len() of a range beyond the machine's words raises.
    return 0 if not numbers else abs((numbers[-1] - numbers[0]) // numbers.step) + 1


def _count(count: float, name: str) -> int:
    if count != int(count) or count < 0:
        raise bad_argument(f"{name}() takes a whole number that is not negative")
    return int(count)


def _key(found: Any, name: str) -> str:
    if isinstance(found, str | int | float):
        return to_text(found)
    raise bad_argument(
        f"{name}() needs an expression that gives strings, numbers or booleans, this gives {type_name(found)}",
        hint="default(value, fallback) answers a null",
    )


def _identity(item: Any) -> bytes:
    """Equal values, equal bytes: 1 and 1.0 are one number, key order does not count, true is not 1."""
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    # A copy: what the encoder gives keeps the room that it wrote in, a thousand bytes and more for each item.
    return bytes(memoryview(orjson.dumps(item, option=orjson.OPT_SORT_KEYS)))
