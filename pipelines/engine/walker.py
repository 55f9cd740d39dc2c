"""Walking steps: each one picked up where the journal says it stands, tried, and kept."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from pipelines.document.nodes import Step, SucceedBody, ToolBody, seen_behind
from pipelines.engine.attempts import Attempt, Surroundings
from pipelines.engine.ports import StepEntry, StepState
from pipelines.engine.scopes import Scope
from pipelines.engine.simulated import fixture_result
from pipelines.engine.steps import INTERPRETERS
from pipelines.engine.tries import Tries, group_by_path, recorded_error
from pipelines.engine.values import holds
from pipelines.engine.ways_out import Park, RunOver, Succeed, WayOut
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import InDoubt, SideEffect

# A wait beyond this gives the slot away; a shorter one costs less than being claimed again.
PARK_AFTER: Final = timedelta(seconds=2)
# Once the limit is reached, for the lists that run last.
_STEPS_IN_THE_END: Final = 100


class Walker:
    """Carries out lists of steps of one run. Raises what `ways_out` has, beside PipelineError."""

    def __init__(
        self, surroundings: Surroundings, history: Sequence[StepEntry], rng: Random, *, max_steps: int
    ) -> None:
        self._surroundings = surroundings
        self._rng = rng
        self._tries: defaultdict[str, Tries] = group_by_path(history)
        self._started = sum(tries.was_started for tries in self._tries.values())
        self._max_steps = max_steps
        self._most = max_steps
        self._running: list[Attempt] = []

    @property
    def interrupted(self) -> list[StepEntry]:
        """The attempts that a cancellation cut off, innermost first, as entries of state `canceled`."""
        return [attempt.entry(StepState.CANCELED) for attempt in reversed(self._running)]

    async def run_steps(self, steps: Sequence[Step], scope: Scope) -> Any:
        """Carry out what is not finished of these steps, in order; the result of the last."""
        output = None
        for step in steps:
            entry = await self._run_step(step, scope)
            output = entry.output
            scope.keep(step, output)
            if isinstance(step.body, SucceedBody) and entry.state is StepState.SUCCEEDED:
                raise Succeed(output)
        return output

    # One step

    async def _run_step(self, step: Step, scope: Scope) -> StepEntry:
        """The entry that ends the step. Raises PipelineError where it fails for good and nobody tolerates it."""
        tries = self._tries[scope.path(step)]
        if step.is_container and tries.last is not None:
            self._recall(step, scope)
        due_at = None if tries.finished else await self._pick_up(step, tries)
        while (entry := tries.finished) is None:
            if due_at is not None:
                await self._wait_until(due_at, scope.path(step))
            due_at = await self._try(step, tries, scope)
        return entry

    def _recall(self, container: Step, scope: Scope) -> None:
        """A container that has ended is not entered again, but what is inside of it has its results."""
        for step in seen_behind(container):
            if (entry := self._tries[scope.path(step)].finished) is not None:
                scope.keep(step, entry.output)

    def _count_start(self, step: Step) -> None:
        """Containers, loops and retries included, a run starts so many steps and no more."""
        self._started += 1
        if self._started > self._most:
            self._most = max(self._most, self._max_steps + _STEPS_IN_THE_END)
            error = PipelineError(
                code="max_steps",
                error_class=ErrorClass.LIMIT,
                detail=f"the run has started {self._max_steps} steps, which is its limit",
                step=step.id,
            )
            raise RunOver(error)

    async def _pick_up(self, step: Step, tries: Tries) -> datetime | None:
        """Go on from the last attempt in the history: when the next may start, None for at once."""
        last = tries.last
        if last is None:
            return None
        if last.state is StepState.STARTED:
            return await self._resolve_doubt(step, tries, last)
        run_attempt = self._surroundings.context.run_attempt
        if last.state is not StepState.FAILED or last.run_attempt != run_attempt:
            return None
        error = recorded_error(last)
        due_at = tries.next_due(step.retry, error, run_attempt=run_attempt, rng=None)
        if due_at is None:
            raise error
        return due_at

    async def _resolve_doubt(self, step: Step, tries: Tries, intent: StepEntry) -> datetime | None:
        """A call was about to be made and its result is not known: the tool says what then."""
        ended = replace(intent, finished_at=self._surroundings.clock.now())
        spec = step.body.spec if isinstance(step.body, ToolBody) else None
        if spec is None or spec.side_effect is not SideEffect.EFFECT or spec.in_doubt is InDoubt.RETRY:
            interrupted = replace(ended, state=StepState.INTERRUPTED)
            await self._surroundings.journal.record(interrupted, barrier=False)
            tries.add(interrupted)
            return None
        error = PipelineError(
            code="in_doubt",
            error_class=ErrorClass.PERMANENT,
            detail=f"the worker was lost while it called {spec.name}; whether the call was made is not known",
        )
        context = self._surroundings.context
        failed = replace(ended, state=StepState.FAILED, run_attempt=context.run_attempt)
        return await self._fail(step, tries, failed, error, has_effect=True)

    async def _wait_until(self, due_at: datetime, path: str) -> None:
        remaining = due_at - self._surroundings.clock.now()
        if remaining > PARK_AFTER:
            raise Park(due_at, path)
        if remaining > timedelta():
            await self._surroundings.clock.sleep(remaining)

    # One attempt

    async def _try(self, step: Step, tries: Tries, scope: Scope) -> datetime | None:
        """Make the next attempt and keep it. When it failed: the instant at which another is due."""
        attempt = Attempt(
            step=step,
            number=tries.next_attempt,
            scope=scope,
            surroundings=self._surroundings,
            run_steps=self.run_steps,
            started_at=self._surroundings.clock.now(),
        )
        self._running.append(attempt)
        try:
            entry = await self._carry_out(attempt, is_first=not tries.was_started)
        except PipelineError as error:
            failed = attempt.entry(StepState.FAILED, error=step.blame(error, attempt=attempt.number))
            self._running.pop()
            return await self._fail(step, tries, failed, error, has_effect=attempt.has_effect)
        except WayOut:
            self._running.pop()
            raise
        self._running.pop()
        await self._surroundings.journal.record(entry, barrier=attempt.has_effect)
        tries.add(entry)
        return None

    async def _carry_out(self, attempt: Attempt, *, is_first: bool) -> StepEntry:
        """The entry of an attempt that succeeded or was skipped. Raises PipelineError."""
        step = attempt.step
        if step.condition is not None and not holds(step.condition, attempt.names, f"{step.pointer}/if"):
            return attempt.entry(StepState.SKIPPED)
        if is_first:
            self._count_start(step)
        output = await _output(attempt)
        return attempt.entry(StepState.SUCCEEDED, output=output)

    async def _fail(
        self, step: Step, tries: Tries, entry: StepEntry, error: PipelineError, *, has_effect: bool
    ) -> datetime | None:
        """Keep a failed attempt. Returns when the next is due, None where the failure is tolerated; else raises it."""
        error = step.blame(error, attempt=entry.attempt)
        entry = replace(entry, error=error.as_dict())
        tries.add(entry)
        context = self._surroundings.context
        due_at = tries.next_due(step.retry, error, run_attempt=context.run_attempt, rng=self._rng)
        if due_at is None and step.continue_on_error:
            entry = replace(entry, tolerated=True, output={"error": entry.error})
            tries.add(entry)
        parks = due_at is not None and due_at - self._surroundings.clock.now() > PARK_AFTER
        await self._surroundings.journal.record(entry, barrier=has_effect or parks)
        if due_at is None and not entry.tolerated:
            raise error
        return due_at


async def _output(attempt: Attempt) -> Any:
    """What the step's kind makes, or the fixture of a kind that is not a tool's (tools resolve their input first)."""
    step = attempt.step
    fixture = None if isinstance(step.body, ToolBody) else attempt.fixture
    if fixture is None:
        return await INTERPRETERS[type(step.body)](step.body, attempt)
    attempt.is_simulated = True
    pointer, clock = f"{step.pointer}/simulate", attempt.fixture_clock
    return await fixture_result(fixture, attempt.names, pointer, timeout=step.timeout, clock=clock)
