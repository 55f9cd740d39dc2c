"""What can be wrong with an expression, at save and at run time."""

from dataclasses import dataclass, field
from typing import Final

SYNTAX: Final = "syntax"
UNKNOWN_FUNCTION: Final = "unknown_function"
INVALID_ARITY: Final = "invalid_arity"
BAD_ARGUMENT: Final = "bad_argument"
MISSING_VALUE: Final = "missing_value"
UNCLOSED_TEMPLATE: Final = "unclosed_template"
TOO_COMPLEX: Final = "too_complex"
TOO_EXPENSIVE: Final = "too_expensive"
TOO_LARGE: Final = "too_large"


@dataclass(slots=True)
class ExpressionError(Exception):
    """An expression cannot be compiled, or cannot be evaluated over this context.

    `position` is the offset in the expression's text, None where no single place is to blame. `specification_name`
    is the name that the JMESPath specification gives to this error, None where it knows none. `path` leads from the
    rendered value to the text that failed, outermost key first.
    """

    code: str
    detail: str
    position: int | None = None
    hint: str | None = None
    specification_name: str | None = None
    path: tuple[str | int, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
