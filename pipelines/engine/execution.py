"""Carrying out a pipeline, from wherever its journal says it stands: its steps, and what runs when it ends."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from pipelines.document.nodes import Pipeline, Step
from pipelines.engine.attempts import Surroundings
from pipelines.engine.branches import Branch
from pipelines.engine.names import names_of_run
from pipelines.engine.ports import Failed, GivenUp, Outcome, Parked, StepEntry, Succeeded
from pipelines.engine.scopes import Scope
from pipelines.engine.values import render
from pipelines.engine.walker import Walker
from pipelines.engine.ways_out import Park, RunOver, Stopped, Succeed
from pipelines.errors import ErrorClass, PipelineError


class Execution:
    """One go at a run: from its history to success, failure or a place to park."""

    def __init__(
        self, pipeline: Pipeline, surroundings: Surroundings, history: Sequence[StepEntry], rng: Random
    ) -> None:
        self._pipeline = pipeline
        self._surroundings = surroundings
        self._walker = Walker(surroundings, history, rng, max_steps=pipeline.max_steps)
        self._branch = Branch()
        self._scope = Scope(names_of_run(pipeline, surroundings.context), branch=self._branch)
        self._given_up: PipelineError | None = None

    @property
    def names(self) -> Mapping[str, Any]:
        """What expressions see, steps that have ended included."""
        return self._scope.names

    def carried_out_by(self, task: "asyncio.Task[Any]") -> None:
        """Let this task, which awaits `run`, be interrupted by `give_up`."""
        self._branch.carried_out_by(task)

    def give_up(self, error: PipelineError) -> None:
        """End the run from outside, for this error: what is at work is cut off, nothing more is started, and all that
        runs last is run. Called again, what goes on all the same is cut off once more."""
        self._given_up = self._given_up or error
        self._branch.stop()

    def cut_off(self) -> None:
        """From here on a cancellation of the task ends everything, what runs last too: nobody waits for it any more."""
        self._branch.cut_off()

    async def run(self) -> Outcome:
        """Carry out what is not finished. Cancellation and what the journal raises pass through."""
        try:
            return await self._run()
        except Park as park:
            return Parked(park.until, park.path, park.asked)

    async def _run(self) -> Outcome:
        outputs: Mapping[str, Any] = {}
        error: PipelineError | None = None
        is_retried = False
        try:
            try:
                outputs = await self._run_steps()
            except PipelineError as failure:
                error = failure
            except RunOver as over:
                error = over.error
            is_retried = error is not None and self._surroundings.retries(error)
            is_canceled = error is not None and error.error_class is ErrorClass.CANCELED
            if self._pipeline.on_error and error is not None and not (is_canceled or is_retried):
                error = await self._run_section(self._pipeline.on_error, error)
        except Stopped as stopped:
            error = stopped.failure
        if self._given_up is not None:
            error = self._given_up if error is None else self._given_up.followed_by(error)
        if self._pipeline.last and (self._given_up is not None or not is_retried):
            with self._branch.sheltered():
                error = await self._run_section(self._pipeline.last, error)
        if self._given_up is not None:
            # Asked for in the middle of what runs last: it holds, however well that ended.
            return GivenUp(error or self._given_up)
        return Succeeded(outputs) if error is None else Failed(error)

    async def _run_steps(self) -> Mapping[str, Any]:
        try:
            await self._walker.run_steps(self._pipeline.steps, self._scope)
        except Succeed as succeed:
            if succeed.outputs is not None:
                return succeed.outputs
        rendered: Mapping[str, Any] = render(self._pipeline.outputs, self._scope.names, "/outputs")
        return rendered

    async def _run_section(self, steps: tuple[Step, ...], error: PipelineError | None) -> PipelineError | None:
        """The error that is left when a section has run, which sees the one so far."""
        scope = self._scope.in_the_end(None if error is None else error.as_dict())
        try:
            await self._walker.run_steps(steps, scope)
        except PipelineError as failure:
            own = failure
        except RunOver as over:
            own = over.error
        else:
            return error
        return own if error is None else error.followed_by(own)
