"""A simulated run in a worker: real steps of the engine in a time that waits for nothing.

Where the engine would park the run, no branch of it can go on before some instant. In a rehearsal that instant has
come: the clock is set to it and the engine goes on, as it would when the run is claimed again. So what waits side by
side goes on in the order of its instants, and the journal shows when things would have happened.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from pipelines.document import Pipeline
from pipelines.document.moments import LAST_INSTANT
from pipelines.engine import Execution, Surroundings
from pipelines.engine.ports import Clock, Journal, Outcome, Parked, StepEntry
from pipelines.errors import PipelineError


class SkippingClock:
    """A clock that can be set ahead of the one behind it, and goes on from there until the calendar ends."""

    def __init__(self, behind: Clock) -> None:
        self._behind = behind
        self._ahead = timedelta()

    def now(self) -> datetime:
        now = self._behind.now()
        return now + min(self._ahead, LAST_INSTANT - now)

    async def sleep(self, delay: timedelta) -> None:
        await self._behind.sleep(delay)

    def skip_to(self, instant: datetime) -> None:
        """Nothing where that has been."""
        self._ahead += max(timedelta(), instant - self.now())


class _Remembering:
    """A journal that keeps what it was given, so that the engine can go on without reading it back."""

    def __init__(self, behind: Journal) -> None:
        self._behind = behind
        self.entries: list[StepEntry] = []

    async def record(self, entry: StepEntry, *, barrier: bool) -> None:
        await self._behind.record(entry, barrier=barrier)
        self.entries.append(entry)


class Rehearsal:
    """Stands where an `Execution` of the engine would, and never parks."""

    def __init__(
        self, pipeline: Pipeline, surroundings: Surroundings, history: Sequence[StepEntry], rng: Random
    ) -> None:
        self._pipeline = pipeline
        self._history = history
        self._rng = rng
        self._clock = SkippingClock(surroundings.clock)
        # A worker before this one may have skipped further than this one's clock has come.
        for entry in history:
            for instant in (entry.started_at, entry.finished_at):
                if instant is not None:
                    self._clock.skip_to(instant)
        self._journal = _Remembering(surroundings.journal)
        context = replace(surroundings.context, skips_waits=True)
        self._surroundings = replace(surroundings, context=context, journal=self._journal, clock=self._clock)
        self._task: asyncio.Task[None] | None = None
        self._given_up: PipelineError | None = None
        self._is_cut_off = False
        self._going = self._execution()

    def carried_out_by(self, task: "asyncio.Task[None]") -> None:
        self._task = task
        self._going.carried_out_by(task)

    def give_up(self, error: PipelineError) -> None:
        self._given_up = self._given_up or error
        self._going.give_up(error)

    def cut_off(self) -> None:
        self._is_cut_off = True
        self._going.cut_off()

    async def run(self) -> Outcome:
        """As `Execution.run`, to the end."""
        while isinstance(outcome := await self._going.run(), Parked):
            self._clock.skip_to(outcome.until)
            self._going = self._execution()
            if self._task is not None:
                self._going.carried_out_by(self._task)
            if self._given_up is not None:
                self._going.give_up(self._given_up)
            if self._is_cut_off:
                self._going.cut_off()
        return outcome

    def _execution(self) -> Execution:
        history = (*self._history, *self._journal.entries)
        return Execution(self._pipeline, self._surroundings, history, self._rng)
