"""What chooses between values. Only the chosen side is evaluated, so the other may fail."""

from collections.abc import Callable
from typing import Any

from pipelines.expressions.functions.registry import function
from pipelines.expressions.values import is_true

Delayed = Callable[[], Any]


@function("default(value: any, fallback: any) -> any", ("default(null, 'x')", "x"), ("default('', 'x')", ""), lazy=True)
def default(value: Delayed, fallback: Delayed) -> Any:
    """The value, or the fallback where it is null."""
    found = value()
    return fallback() if found is None else found


@function(
    "if_else(condition: any, then: any, otherwise: any) -> any",
    ("if_else(1 > 2, 'a', 'b')", "b"),
    ("if_else(`0` == `0`, 'none', div(1, 0))", "none"),
    lazy=True,
)
def if_else(condition: Delayed, then: Delayed, otherwise: Delayed) -> Any:
    """The second argument where the condition is true (as JMESPath has it: 0 is true), else the third."""
    return then() if is_true(condition()) else otherwise()


@function("coalesce(values: any...) -> any", ("coalesce(null, null, 'a')", "a"), lazy=True)
def coalesce(*values: Delayed) -> Any:
    """The first argument that is not null, else null."""
    return next((found for value in values if (found := value()) is not None), None)
