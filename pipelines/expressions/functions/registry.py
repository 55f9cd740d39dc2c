"""The table of functions: what the decorator enters, what binding an expression's call looks up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Any

from pipelines.expressions import errors
from pipelines.expressions.errors import ExpressionError
from pipelines.expressions.functions.signatures import Signature
from pipelines.expressions.metering import Meter
from pipelines.expressions.suggestion import did_you_mean

Evaluator = Callable[[Any, Meter], Any]
Implementation = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of the library. `examples` are pairs of an expression and its result; tests and reference use them.

    `is_standard`: one of JMESPath's own, so known in strict mode. `is_lazy`: takes its arguments unevaluated, each as
    a callable. `is_metered`: takes the meter first, because its work or its result can outgrow its arguments.
    `literals` say of parameters, by their names, what a value that is written in the expression has to pass.
    """

    signature: Signature
    description: str
    examples: tuple[tuple[str, Any], ...]
    implementation: Implementation
    topic: str
    is_standard: bool = False
    is_lazy: bool = False
    is_metered: bool = False
    literals: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.signature.name

    def check_literal(self, position: int, value: Any) -> None:
        """Raises ExpressionError (`bad_argument`) for a value that no call could take there, whatever the others."""
        self.signature.check_type(position, value)
        check = self.literals.get(self.signature.parameter(position).name)
        if check is None:
            return
        try:
            check(value)
        except ExpressionError as error:
            error.hint = error.hint or self.signature.text
            raise


STANDARD: dict[str, Function] = {}


def function(
    signature: str,
    *examples: tuple[str, Any],
    standard: bool = False,
    lazy: bool = False,
    metered: bool = False,
    literals: Mapping[str, Callable[[Any], object]] | None = None,
) -> Callable[[Implementation], Implementation]:
    """Enter the decorated function under the name in `signature`; its docstring becomes the reference's text."""
    read = Signature.read(signature)

    def enter(implementation: Implementation) -> Implementation:
        if read.name in STANDARD:
            raise ValueError(f"{read.name} is entered twice")
        STANDARD[read.name] = Function(
            signature=read,
            description=cleandoc(implementation.__doc__ or ""),
            examples=examples,
            implementation=implementation,
            topic=implementation.__module__.rpartition(".")[2],
            is_standard=standard,
            is_lazy=lazy,
            is_metered=metered,
            literals=literals or {},
        )
        return implementation

    return enter


def find(name: str, functions: dict[str, Function]) -> Function:
    """The function of that name. Raises ExpressionError (`unknown_function`)."""
    known = functions.get(name)
    if known is None:
        raise ExpressionError(
            errors.UNKNOWN_FUNCTION,
            f"there is no function {name}()",
            hint=did_you_mean(name, functions),
            specification_name="unknown-function",
        )
    return known


def bind(known: Function, arguments: Sequence[Evaluator]) -> Evaluator:
    """The evaluator of a call, whose count and kinds of arguments have been checked."""
    return _bind_lazy(known, arguments) if known.is_lazy else _bind_eager(known, arguments)


def _bind_eager(known: Function, arguments: Sequence[Evaluator]) -> Evaluator:
    implementation, signature, is_metered = known.implementation, known.signature, known.is_metered

    def evaluate(value: Any, meter: Meter) -> Any:
        values = [argument(value, meter) for argument in arguments]
        for each in values:
            _pay(each, meter)
        signature.check_types(values)
        return implementation(meter, *values) if is_metered else implementation(*values)

    return evaluate


def _bind_lazy(known: Function, arguments: Sequence[Evaluator]) -> Evaluator:
    implementation = known.implementation

    def evaluate(value: Any, meter: Meter) -> Any:
        meter.spend()
        return implementation(*(_delayed(argument, value, meter) for argument in arguments))

    return evaluate


def _delayed(argument: Evaluator, value: Any, meter: Meter) -> Callable[[], Any]:
    return lambda: argument(value, meter)


def _pay(argument: Any, meter: Meter) -> None:
    """Reading an argument costs its length; what lies deeper is paid by the functions that go there."""
    if isinstance(argument, str):
        meter.spend_text(len(argument))
    elif isinstance(argument, list | dict):
        meter.spend(1 + len(argument))
    else:
        meter.spend()


def bad_argument(detail: str, *, hint: str | None = None) -> ExpressionError:
    """The right type and a value that the function cannot take."""
    return ExpressionError(errors.BAD_ARGUMENT, detail, hint=hint, specification_name="invalid-value")
