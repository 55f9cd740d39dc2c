"""A journal in memory: the history that a simulated run resumes from, and the trace that it shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import orjson

from pipelines.engine.paths import shown_path
from pipelines.engine.ports import StepEntry, StepState
from pipelines.expressions import ExpressionError
from pipelines.expressions.durations import format_duration
from pipelines.expressions.watching import watched

MOST_SEEN: Final = 200  # expressions of one attempt
LONGEST_SEEN: Final = 1000  # bytes of one value as JSON


class Seen:
    """What one attempt has evaluated: each expression, and its value or its error."""

    def __init__(self) -> None:
        self._told: list[dict[str, Any]] = []
        self._more = 0

    def add(self, text: str, value: Any) -> None:
        if len(self._told) >= MOST_SEEN:
            self._more += 1
        elif isinstance(value, ExpressionError):
            self._told.append({"expression": text, "error": value.code})
        else:
            self._told.append({"expression": text, "value": _short(value)})

    def shown(self) -> list[dict[str, Any]]:
        return [*self._told, {"omitted": self._more}] if self._more else self._told


def _short(value: Any) -> Any:
    """The value itself where it is short; the beginning of its JSON where it is not."""
    written = orjson.dumps(value, default=repr)
    return (
        orjson.loads(written) if len(written) <= LONGEST_SEEN else written[:LONGEST_SEEN].decode(errors="ignore") + "…"
    )


class Trace:
    """A journal of the engine. Keeps every entry; shows one an attempt, in the order in which attempts ended."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self.entries: list[StepEntry] = []
        self._seen: dict[str, Seen] = {}  # by path, of attempts that have not ended
        self._of_entries: dict[int, Seen] = {}

    async def record(self, entry: StepEntry, *, barrier: bool) -> None:  # memory commits at once
        self.entries.append(entry)
        if entry.state is not StepState.STARTED:
            self._of_entries[len(self.entries) - 1] = self._seen.pop(entry.path, Seen())

    @contextmanager
    def watch(self, path: str = "") -> Iterator[None]:
        """Keep what the step at `path` evaluates, in this block, for its next entry; for "" what is of no step."""
        with watched(lambda text, value: self._seen.setdefault(path, Seen()).add(text, value)):
            yield

    @property
    def of_no_step(self) -> list[dict[str, Any]]:
        return self._seen.get("", Seen()).shown()

    def shown(self, *, expressions: bool = False) -> list[dict[str, Any]]:
        """`expressions`: with what each attempt has evaluated, in that order."""
        shown = []
        for place, entry in enumerate(self.entries):
            if entry.state is not StepState.STARTED:
                more = {"expressions": self._of_entries[place].shown()} if expressions else {}
                shown.append({**self._show(entry), **more})
        return shown

    def _show(self, entry: StepEntry) -> dict[str, Any]:
        ended_at = entry.finished_at or self._start
        shown: dict[str, Any] = {
            "path": shown_path(entry.path),
            "kind": entry.kind,
            "uses": entry.uses,
            "state": str(entry.state),
            "attempt": entry.attempt,
            "input": entry.input,
            "output": entry.output,
            "error": None if entry.error is None else dict(entry.error),
            "simulated": entry.simulated,
            "at": format_duration(ended_at - self._start),
        }
        return {**shown, "tolerated": True} if entry.tolerated else shown
