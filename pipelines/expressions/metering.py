"""Fuel: what bounds the work of one evaluation, and the size of what it builds."""

from typing import Any

from pipelines.expressions import errors, limits
from pipelines.expressions.errors import ExpressionError


class Meter:
    """Counts down the fuel of one evaluation; at zero the evaluation ends with `too_expensive`."""

    __slots__ = ("fuel",)

    def __init__(self, fuel: int = limits.FUEL) -> None:
        self.fuel = fuel

    def spend(self, units: int = 1) -> None:
        self.fuel -= units
        if self.fuel < 0:
            raise ExpressionError(
                errors.TOO_EXPENSIVE,
                "the expression takes too much work",
                hint="narrow the list first with take() or a filter, or split the work over several steps",
            )

    def spend_text(self, characters: int) -> None:
        """Pay for reading or writing a text of that length."""
        if characters > limits.MAX_RESULT_CHARACTERS:
            raise ExpressionError(
                errors.TOO_LARGE, f"a text may be at most {limits.MAX_RESULT_CHARACTERS} characters long"
            )
        self.spend(1 + characters // limits.CHARACTERS_PER_UNIT)

    def spend_whole(self, value: Any) -> None:
        """Pay for reading `value` with all that is in it, each place counted however often it is shared."""
        values, characters = measure(value)
        self.spend(values + characters // limits.CHARACTERS_PER_UNIT)


def measure(value: Any) -> tuple[int, int]:
    """Count the values in `value` and the characters of its texts, keys included.

    A value that is reached twice counts twice: sharing keeps a result small in memory and lets it explode when it is
    written out. Raises ExpressionError (`too_large`) as soon as a limit is passed, so the cost is bounded.
    """
    values = characters = 0
    pending = [value]
    while pending:
        current = pending.pop()
        values += 1
        if isinstance(current, str):
            characters += len(current)
        elif isinstance(current, list):
            _refuse_beyond(values + len(pending) + len(current), characters)
            pending.extend(current)
        elif isinstance(current, dict):
            _refuse_beyond(values + len(pending) + len(current), characters)
            characters += sum(map(len, current))
            pending.extend(current.values())
    _refuse_beyond(values, characters)
    return values, characters


def _refuse_beyond(values: int, characters: int) -> None:
    if values > limits.MAX_RESULT_VALUES:
        raise ExpressionError(errors.TOO_LARGE, f"the result has more than {limits.MAX_RESULT_VALUES} values")
    if characters > limits.MAX_RESULT_CHARACTERS:
        raise ExpressionError(
            errors.TOO_LARGE, f"the result has more than {limits.MAX_RESULT_CHARACTERS} characters of text"
        )
