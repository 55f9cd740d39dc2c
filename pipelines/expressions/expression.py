"""A compiled expression."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pipelines.expressions import errors
from pipelines.expressions.analysis import SECRETS, Reference, builds_values, references
from pipelines.expressions.errors import ExpressionError
from pipelines.expressions.interpreter import RELAXED, STRICT
from pipelines.expressions.metering import Meter, measure
from pipelines.expressions.parsing import parse
from pipelines.expressions.results import longest_text
from pipelines.expressions.values import is_true
from pipelines.expressions.watching import watch, watcher


class Expression:
    """An expression that parses and whose functions exist; evaluating it is pure and bounded. Immutable."""

    __slots__ = ("_builds", "_evaluator", "longest_text", "references", "text")

    def __init__(self, text: str, *, strict: bool) -> None:
        tree = parse(text, strict=strict)
        self.text = text
        self.references: frozenset[Reference] = references(tree)
        self._builds = builds_values(tree)
        self._evaluator = (STRICT if strict else RELAXED).build(tree)
        # Characters; see `results.longest_text`.
        self.longest_text = longest_text(tree)

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets that it reads."""
        return frozenset(
            reference.member for reference in self.references if reference.root == SECRETS and reference.member
        )

    def evaluate(self, context: Any, meter: Meter | None = None) -> Any:
        """The value over `context`, sharing parts with it: treat both as read-only. Raises ExpressionError.

        `meter` has the fuel that it may take, the language's limit unless given.
        """
        tell = watcher()
        if tell is not None:
            return watch(self.text, lambda: self._evaluate(context, meter), tell)
        return self._evaluate(context, meter)

    def _evaluate(self, context: Any, meter: Meter | None) -> Any:
        try:
            value = self._evaluator(context, Meter() if meter is None else meter)
        except RecursionError as error:
            raise ExpressionError(errors.TOO_COMPLEX, f"{self.text!r} meets data that nests too deep") from error
        except OverflowError as error:
            raise ExpressionError(
                errors.BAD_ARGUMENT, f"{self.text!r} leaves the range of numbers", specification_name="invalid-value"
            ) from error
        if self._builds:
            measure(value)
        return value

    def is_true(self, context: Mapping[str, Any], meter: Meter | None = None) -> bool:
        """The truth of the value, as JMESPath has it. Raises ExpressionError."""
        return is_true(self.evaluate(context, meter))


def compile_expression(text: str, *, strict: bool = False) -> Expression:
    """Compile a bare expression; `strict` is exactly JMESPath. Raises ExpressionError."""
    return _compile(text, strict)


@lru_cache(maxsize=1024)
def _compile(text: str, strict: bool) -> Expression:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ExpressionError(errors.SYNTAX, "the expression is no valid Unicode text", position=error.start) from error
    return Expression(text, strict=strict)
