"""The error that a step ends with, and the classes that retry and catch decide by.

Decisions go by `error_class` and `code`, never by the text. `detail` is for people and carries no secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any


class ErrorClass(StrEnum):
    """What kind of failure it was; `transient` and `timeout` are retried by default."""

    TRANSIENT = "transient"
    TIMEOUT = "timeout"
    PERMANENT = "permanent"
    VALIDATION = "validation"
    EXPRESSION = "expression"
    LIMIT = "limit"
    REJECTED = "rejected"
    CANCELED = "canceled"
    INTERNAL = "internal"


_LONGEST_WAIT = timedelta(days=366)
RETRYABLE_CLASSES = frozenset({ErrorClass.TRANSIENT, ErrorClass.TIMEOUT})


@dataclass(slots=True, eq=False)
class PipelineError(Exception):
    """A step, or the document's outputs, failed.

    `pointer` is the JSON pointer of the field of the document that failed, None where the tool failed.
    `retry_after` is the number of seconds that the other side asked to wait (Retry-After), None where it did not.
    """

    code: str
    error_class: ErrorClass
    detail: str
    step: str | None = None
    attempt: int | None = None
    pointer: str | None = None
    retry_after: float | None = None
    cause: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "PipelineError":
        """The error that `as_dict` has told."""
        return cls(
            code=str(kept.get("code", "unknown")),
            error_class=ErrorClass(kept.get("class", ErrorClass.INTERNAL)),
            detail=str(kept.get("detail", "")),
            step=kept.get("step"),
            attempt=kept.get("attempt"),
            pointer=kept.get("pointer"),
            cause=kept.get("cause"),
        )

    @property
    def asked_wait(self) -> timedelta:
        """How long the other side asked to wait, nothing where it did not or named no length of time; at most a year,
        whatever a tool says."""
        if self.retry_after is None or not self.retry_after > 0:
            return timedelta(0)
        return timedelta(seconds=min(self.retry_after, _LONGEST_WAIT.total_seconds()))

    @property
    def is_retryable(self) -> bool:
        return self.error_class in RETRYABLE_CLASSES

    def followed_by(self, other: "PipelineError") -> "PipelineError":
        """This error, with `other`, which came while it was dealt with, as its cause; what caused it is below that."""
        self.cause = {**other.as_dict(), "cause": self.cause} if self.cause is not None else other.as_dict()
        return self

    def as_dict(self) -> dict[str, Any]:
        """The form that expressions, journal and API show: code, class, detail, step, attempt, retryable, cause."""
        shown: dict[str, Any] = {
            "code": self.code,
            "class": str(self.error_class),
            "detail": self.detail,
            "step": self.step,
            "attempt": self.attempt,
            "retryable": self.is_retryable,
            "cause": dict(self.cause) if self.cause is not None else None,
        }
        if self.pointer is not None:
            shown["pointer"] = self.pointer
        return shown
