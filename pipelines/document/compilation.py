"""What every part of a compilation shares: where problems go, what is known, how texts become expressions."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pipelines.document.layout import Layout
from pipelines.document.limits import MAX_WAIT
from pipelines.document.names import EVERYWHERE, Names
from pipelines.document.problems import Problem, from_expression, pointer_to
from pipelines.expressions import (
    WHOLE,
    CompiledValue,
    Expression,
    ExpressionError,
    Reference,
    compile_condition,
    compile_expression,
)
from pipelines.expressions.durations import parse_timedelta
from pipelines.expressions.trees import compile_value_with_problems
from pipelines.tools.base import Catalog

_TRUE, _FALSE = compile_expression("true"), compile_expression("false")


@dataclass(slots=True)
class Compilation:
    """Collects problems and hands out compiled parts. A part that is wrong comes back as None, or with its text kept
    literal; the document is refused in the end, so nobody runs it."""

    catalog: Catalog
    secrets: Mapping[str, Collection[str]] | None
    simulated: frozenset[str]
    accepts_fixtures: bool
    roles: Collection[str] | None = None  # that somebody may hold; None where they are not known
    layout: Layout = field(default_factory=Layout)
    problems: list[Problem] = field(default_factory=list)
    _roots: set[str] = field(default_factory=set)

    @property
    def reads(self) -> frozenset[str]:
        """The names that the expressions compiled so far may read."""
        return EVERYWHERE if WHOLE in self._roots else frozenset(self._roots & EVERYWHERE)

    def refuse(self, pointer: str, code: str, detail: str, *, hint: str | None = None) -> None:
        self.problems.append(Problem(pointer=pointer, code=code, detail=detail, hint=hint))

    def condition(self, source: str | bool, pointer: str, names: Names) -> Expression | None:
        """A condition written as text or as a YAML boolean."""
        if isinstance(source, bool):
            return _TRUE if source else _FALSE
        try:
            expression = compile_condition(source)
        except ExpressionError as error:
            self.problems.append(from_expression(error, pointer))
            return None
        self._check(((pointer, reference) for reference in expression.references), names)
        return expression

    def value(self, source: Any, pointer: str, names: Names) -> CompiledValue:
        """A value whose strings may be templates."""
        errors: list[ExpressionError] = []
        compiled = compile_value_with_problems(source, errors)
        self.problems.extend(from_expression(error, pointer) for error in errors)
        self._check(((pointer_to(pointer, *path), reference) for path, reference in compiled.references), names)
        return compiled

    def duration(self, source: Mapping[str, Any], name: str, pointer: str) -> timedelta | None:
        """The length under `name` in `source`, None where there is none or where it is wrong."""
        text = source.get(name)
        if not isinstance(text, str):
            return None
        try:
            length = parse_timedelta(text)
        except (ValueError, OverflowError) as error:
            self.refuse(pointer_to(pointer, name), "bad_duration", str(error))
            return None
        if length < timedelta():
            self.refuse(pointer_to(pointer, name), "bad_duration", f"{text!r} is negative")
            return None
        if length > MAX_WAIT:
            self.refuse(
                pointer_to(pointer, name),
                "bad_duration",
                f"{text!r} is longer than {MAX_WAIT.days} days, which is the longest that there is here",
            )
            return None
        return length

    def longest_wait(self, source: Mapping[str, Any], pointer: str) -> timedelta | None:
        """The `timeout` of what a parked run waits for, None where it has none."""
        length = self.duration(source, "timeout", pointer)
        if length is None:
            return None
        if length == timedelta():
            self.refuse(f"{pointer}/timeout", "bad_duration", "a time-out must be longer than nothing")
        return length

    def _check(self, references: Iterable[tuple[str, Reference]], names: Names) -> None:
        for pointer, reference in references:
            self._roots.add(reference.root)
            self.problems.extend(names.problems(reference, pointer))
