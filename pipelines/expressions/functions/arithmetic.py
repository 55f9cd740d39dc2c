"""Arithmetic. Integers stay integers; a result that JSON readers would not agree on is an error."""

import math
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from pipelines.expressions.functions.registry import bad_argument, function
from pipelines.expressions.limits import MAX_INTEGER
from pipelines.expressions.values import as_integer_if_integral

_MAX_DIGITS = 15


@function("add(left: number, right: number) -> number", ("add(2, 3)", 5), ("add(0.5, 1)", 1.5))
def add(left: float, right: float) -> float:
    """The sum."""
    return checked(left + right)


@function("sub(left: number, right: number) -> number", ("sub(2, 3)", -1))
def subtract(left: float, right: float) -> float:
    """The left number less the right one."""
    return checked(left - right)


@function("mul(left: number, right: number) -> number", ("mul(2, 3)", 6))
def multiply(left: float, right: float) -> float:
    """The product."""
    return checked(left * right)


@function("div(left: number, right: number) -> number", ("div(7, 2)", 3.5), ("div(6, 2)", 3))
def divide(left: float, right: float) -> float:
    """The quotient: an integer where it comes out even. Division by zero is an error."""
    if right == 0:
        raise bad_argument("div() by zero", hint="test the divisor with if_else(); it evaluates one side only")
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return checked(left / right)


@function("mod(left: number, right: number) -> number", ("mod(7, 3)", 1), ("mod(-1, 3)", 2))
def modulo(left: float, right: float) -> float:
    """The remainder of a division that rounds down: it has the sign of the divisor. By zero is an error."""
    if right == 0:
        raise bad_argument("mod() by zero")
    return checked(left % right)


@function(
    "round(value: number, digits?: number) -> number",
    ("round(2.5)", 3),
    ("round(2.675, 2)", 2.68),
    ("round(-2.5)", -3),
)
def round_half_away(value: float, digits: float = 0) -> float:
    """Rounded to that many decimal places (default 0, up to 15), halves away from zero, as written in decimal."""
    places = _digits(digits, "round")
    if isinstance(value, int):
        return value
    if abs(value) >= MAX_INTEGER:
        return value
    with localcontext(prec=40):
        rounded = Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return as_integer_if_integral(float(rounded))


@function("min2(left: any, right: any) -> any", ("min2(3, 2)", 2))
def smaller(left: Any, right: Any) -> Any:
    """The smaller of two numbers or two strings."""
    return min(left, right) if _are_ordered(left, right, "min2") else None


@function("max2(left: any, right: any) -> any", ("max2(3, 2)", 3), ("max2('a', 'b')", "b"))
def larger(left: Any, right: Any) -> Any:
    """The larger of two numbers or two strings."""
    return max(left, right) if _are_ordered(left, right, "max2") else None


def _are_ordered(left: Any, right: Any, name: str) -> bool:
    for kinds in ((int, float), (str,)):
        if all(isinstance(side, kinds) and not isinstance(side, bool) for side in (left, right)):
            return True
    raise bad_argument(f"{name}() takes two numbers or two strings")


def _digits(digits: float, name: str) -> int:
    if digits != int(digits) or not 0 <= digits <= _MAX_DIGITS:
        raise bad_argument(f"{name}() takes 0 to {_MAX_DIGITS} digits")
    return int(digits)


def checked(number: float) -> float:
    """`number`, where JSON readers agree on it. Raises ExpressionError (`bad_argument`) where they do not."""
    if isinstance(number, int):
        if abs(number) > MAX_INTEGER:
            raise bad_argument(f"the result is beyond {MAX_INTEGER}, which not every JSON reader can hold")
    elif not math.isfinite(number):
        raise bad_argument("the result is no finite number")
    return number
