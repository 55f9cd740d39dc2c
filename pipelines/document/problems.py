"""What is wrong with a document: every problem at once, each with its place and, where there is one, the fix."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.expressions import ExpressionError


class Severity(StrEnum):
    """An error keeps the document from being stored; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`pointer` is a JSON pointer (RFC 6901) into the document as it was given."""

    pointer: str
    code: str
    detail: str
    hint: str | None = None
    severity: Severity = Severity.ERROR

    def as_dict(self) -> dict[str, Any]:
        return {
            "pointer": self.pointer,
            "code": self.code,
            "detail": self.detail,
            "hint": self.hint,
            "severity": str(self.severity),
        }


class DocumentInvalid(ValueError):  # reads as the sentence it is
    """The document cannot be run. `problems` holds at least one error, and the warnings."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.pointer or '/'}: {problem.detail}" for problem in self.problems))


def from_expression(error: ExpressionError, pointer: str) -> Problem:
    """The problem that an expression at `pointer`, or in the value there, has at save."""
    return Problem(
        pointer=pointer_to(pointer, *error.path),
        code=error.code,
        detail=error.detail,
        hint=error.hint,
    )


def has_errors(problems: Iterable[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def pointer_to(base: str, *keys: str | int) -> str:
    """`base` and then each key, escaped as RFC 6901 wants. Half of a surrogate pair, which no JSON text can hold, is
    shown as its escape."""
    pointer = base + "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
    return pointer if pointer.isascii() else pointer.encode(errors="backslashreplace").decode()
