"""Carrying out a pipeline, from wherever its journal says it stands: its steps, and what runs when it ends."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from pipelines.document.nodes import Pipeline, Step
from pipelines.engine.attempts import Surroundings
from pipelines.engine.names import names_of_run
from pipelines.engine.ports import Failed, Outcome, Parked, StepEntry, Succeeded
from pipelines.engine.scopes import Scope
from pipelines.engine.values import render
from pipelines.engine.walker import Walker
from pipelines.engine.ways_out import Park, RunOver, Succeed
from pipelines.errors import ErrorClass, PipelineError


class Execution:
    """One go at a run: from its history to success, failure or a place to park."""

    def __init__(
        self, pipeline: Pipeline, surroundings: Surroundings, history: Sequence[StepEntry], rng: Random
    ) -> None:
        self._pipeline = pipeline
        self._surroundings = surroundings
        self._walker = Walker(surroundings, history, rng, max_steps=pipeline.max_steps)
        self._scope = Scope(names_of_run(pipeline, surroundings.context))

    @property
    def names(self) -> Mapping[str, Any]:
        """What expressions see, steps that have ended included."""
        return self._scope.names

    @property
    def interrupted(self) -> list[StepEntry]:
        """The attempts that a cancellation cut off, innermost first, as entries of state `canceled`."""
        return self._walker.interrupted

    async def run(self) -> Outcome:
        """Carry out what is not finished. Cancellation and what the journal raises pass through."""
        try:
            return await self._run()
        except Park as park:
            return Parked(park.until, park.path)

    async def _run(self) -> Outcome:
        outputs: Mapping[str, Any] = {}
        error: PipelineError | None = None
        try:
            outputs = await self._run_steps()
        except PipelineError as failure:
            error = failure
        except RunOver as over:
            error = over.error
        if error is None or not self._surroundings.retries(error):
            error = await self._run_in_the_end(error)
        return Succeeded(outputs) if error is None else Failed(error)

    async def _run_steps(self) -> Mapping[str, Any]:
        try:
            await self._walker.run_steps(self._pipeline.steps, self._scope)
        except Succeed as succeed:
            if succeed.outputs is not None:
                return succeed.outputs
        rendered: Mapping[str, Any] = render(self._pipeline.outputs, self._scope.names, "/outputs")
        return rendered

    async def _run_in_the_end(self, error: PipelineError | None) -> PipelineError | None:
        """The error that is left when `on_error` and `finally` have run."""
        if error is not None and error.error_class is not ErrorClass.CANCELED:
            error = await self._run_section(self._pipeline.on_error, error)
        return await self._run_section(self._pipeline.last, error)

    async def _run_section(self, steps: tuple[Step, ...], error: PipelineError | None) -> PipelineError | None:
        scope = self._scope.naming(error=None if error is None else error.as_dict())
        try:
            await self._walker.run_steps(steps, scope)
        except PipelineError as failure:
            own = failure
        except RunOver as over:
            own = over.error
        else:
            return error
        return own if error is None else error.followed_by(own)
