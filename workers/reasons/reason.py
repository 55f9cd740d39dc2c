"""One reason, and how the values in it are said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from scheduling.runs.models import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason. `code` is stable; `sentence` and `hint` are for people; `facts` are JSON values."""

    code: str
    sentence: str
    hint: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def error_code(run: Run) -> str:
    return str(run.error.get("code", "")) if isinstance(run.error, dict) else ""


def error_words(kept: Any) -> str:
    """Of the error that a run or a step keeps."""
    error = kept if isinstance(kept, dict) else {}
    words = str(error.get("detail") or error.get("code") or "no error was kept")
    where = f" (step {error['step']})" if error.get("step") else ""
    return f"{words[:500]}{where}."


def ids(runs: Iterable[UUID]) -> list[str]:
    return [str(run_id) for run_id in runs]


def shown(value: datetime | timedelta | None) -> str | float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
