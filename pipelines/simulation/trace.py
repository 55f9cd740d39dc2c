"""A journal in memory: the history that a simulated run resumes from, and the trace that it shows."""

from datetime import datetime
from typing import Any

from pipelines.engine.paths import shown_path
from pipelines.engine.ports import StepEntry, StepState
from pipelines.expressions.durations import format_duration


class Trace:
    """A journal of the engine. Keeps every entry; shows one an attempt, in the order in which attempts ended."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self.entries: list[StepEntry] = []

    async def record(self, entry: StepEntry, *, barrier: bool) -> None:  # memory commits at once
        self.entries.append(entry)

    def shown(self) -> list[dict[str, Any]]:
        return [self._show(entry) for entry in self.entries if entry.state is not StepState.STARTED]

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
