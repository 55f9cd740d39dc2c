"""Walking steps: each one picked up where the journal says it stands, tried, and kept."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final

from pipelines.document.nodes import Step, SucceedBody, ToolBody, seen_behind
from pipelines.engine.attempts import Attempt, Line, Surroundings
from pipelines.engine.begun import Begun
from pipelines.engine.bounded import run_bounded
from pipelines.engine.branches import Branch, Going, calm_down, stopping
from pipelines.engine.doubt import Ask, verdict
from pipelines.engine.paths import shown_path
from pipelines.engine.ports import StepEntry, StepState
from pipelines.engine.scopes import Scope
from pipelines.engine.simulated import fixture_result
from pipelines.engine.sizes import RunSize
from pipelines.engine.steps import INTERPRETERS
from pipelines.engine.together import OnEnd, SideBySide
from pipelines.engine.tries import Tries, group_by_path, recorded_error
from pipelines.engine.values import holds
from pipelines.engine.ways_out import Park, RunOver, Stopped, Succeed, Wait, WayOut
from pipelines.errors import ErrorClass, PipelineError

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
        self._park_after = timedelta() if surroundings.context.skips_waits else PARK_AFTER
        self._size = RunSize(history)
        self._tries: defaultdict[str, Tries] = group_by_path(history)
        self._started = sum(tries.was_started for tries in self._tries.values())
        self._max_steps = max_steps
        self._most = max_steps
        self._begun = Begun(self._tries, surroundings.context.run_attempt)
        self._numbers: dict[str, int] = {}
        for path, tries in self._tries.items():
            self._numbers[shown_path(path)] = max(tries.next_attempt - 1, self._numbers.get(shown_path(path), 0))

    async def run_steps(self, steps: Sequence[Step], scope: Scope) -> Any:
        """Carry out what is not finished of these steps, in order; the result of the last."""
        output = None
        for step in steps:
            watch = self._surroundings.watch
            if watch is None:
                entry = await self._run_step(step, scope)
            else:
                with watch(scope.path(step)):
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
        if tries.finished is None and scope.branch.going is not Going.ON:
            await self._require_begun(step, tries, scope)
            if scope.branch.going is Going.LOOKING:
                return await self._look_into(step, scope)
        due_at = None if tries.finished else await self._pick_up(step, tries, scope)
        while (entry := tries.finished) is None:
            if due_at is not None:
                await self._wait_until(due_at, step, tries, scope)
            due_at = await self._try(step, tries, scope)
        return entry

    async def _require_begun(self, step: Step, tries: Tries, scope: Scope) -> None:
        """Where nothing is started, only containers that have begun are gone into. Raises Stopped for anything else,
        and the error of what has failed for good."""
        last = tries.last
        if last is not None and last.state is StepState.FAILED:
            await self._pick_up(step, tries, scope)
        if step.is_container and self._begun.any_inside(step, scope):
            return
        if scope.branch.going is Going.STOPPING:
            await self._cancel_begun(tries)
        raise Stopped

    async def _cancel_begun(self, tries: Tries) -> None:
        """An attempt that has begun, and whose end is not waited for any more."""
        last = tries.last
        if last is not None and last.state is StepState.STARTED:
            canceled = replace(last, state=StepState.CANCELED, finished_at=self._surroundings.clock.now())
            await self._surroundings.journal.record(canceled, barrier=False)
            tries.add(canceled)

    async def _look_into(self, container: Step, scope: Scope) -> StepEntry:
        """What a container comes to without anything being started in it."""
        attempt = self._attempt(container, self._tries[scope.path(container)], scope)
        try:
            output = await INTERPRETERS[type(container.body)](container.body, attempt)
        except PipelineError as error:
            if not container.continue_on_error:
                raise
            output = {"error": error.as_dict()}
        return attempt.entry(StepState.SUCCEEDED, output=output)

    def _recall(self, container: Step, scope: Scope) -> None:
        """A container that has ended is not entered again, but what is inside of it has its results."""
        inside = scope.in_body(container, self._tries[scope.path(container)].last_body)
        for step in seen_behind(container):
            if (entry := self._tries[inside.path(step)].finished) is not None:
                scope.keep(step, entry.output)

    def _count_start(self, step: Step, scope: Scope) -> None:
        """Containers, loops and retries included, a run starts so many steps and no more. A container without an entry
        had been counted before the run was taken up again, if something in it had begun."""
        self._started += 1
        if step.is_container and self._begun.any_within(step, scope):
            return
        if self._started > (self._most if scope.runs_last else self._max_steps):
            self._most = max(self._most, self._max_steps + _STEPS_IN_THE_END)
            error = PipelineError(
                code="max_steps",
                error_class=ErrorClass.LIMIT,
                detail=f"the run has started {self._max_steps} steps, which is its limit",
                step=step.id,
            )
            raise RunOver(error)

    async def _pick_up(self, step: Step, tries: Tries, scope: Scope) -> datetime | None:
        """Go on from the last attempt in the history: when the next may start, None for at once."""
        last = tries.last
        if last is None:
            return None
        if last.state is StepState.STARTED:
            if step.asks and self._surroundings.answers.is_withdrawn(last.path, last.attempt):
                await self._interrupt(last, tries)
                return None
            return None if step.lasts else await self._resolve_doubt(step, tries, scope, last)
        run_attempt, error = self._surroundings.context.run_attempt, recorded_error(last)
        if last.state is not StepState.FAILED or last.run_attempt != run_attempt:
            return None
        due_at = tries.next_due(step.retry, error, run_attempt=run_attempt, rng=None)
        if due_at is None:
            raise error
        return due_at

    async def _resolve_doubt(self, step: Step, tries: Tries, scope: Scope, intent: StepEntry) -> datetime | None:
        """A call was about to be made and its result is not known: the tool says what then. Raises Park to ask."""
        answers = self._surroundings.answers
        found = verdict(step.body.spec if isinstance(step.body, ToolBody) else None, intent, answers)
        if found is None:
            await self._interrupt(intent, tries)
            return None
        run_attempt = self._surroundings.context.run_attempt
        if isinstance(found, Ask):
            if answers.is_withdrawn(intent.path, intent.attempt):
                await self._interrupt(intent, tries)
                intent = replace(intent, attempt=self._next_number(intent.path, tries), run_attempt=run_attempt)
            await self._keep_begun(replace(intent, question=found.question), tries, scope)
            raise Park(found.until, intent.path, asked=True)
        ended = replace(intent, state=StepState.FAILED, finished_at=self._surroundings.clock.now())
        failed = replace(ended, run_attempt=run_attempt)
        return await self._fail(self._attempt(step, tries, scope), tries, failed, found, has_effect=True)

    async def _interrupt(self, intent: StepEntry, tries: Tries) -> None:
        """An attempt that has begun and comes to nothing; the next one begins."""
        interrupted = replace(intent, state=StepState.INTERRUPTED, finished_at=self._surroundings.clock.now())
        await self._surroundings.journal.record(interrupted, barrier=False)
        tries.add(interrupted)

    async def _wait_until(self, due_at: datetime, step: Step, tries: Tries, scope: Scope) -> None:
        remaining = due_at - self._surroundings.clock.now()
        if remaining > self._park_after:
            raise Park(due_at, scope.path(step))
        if remaining > timedelta():
            try:
                with stopping(scope.branch):
                    await self._surroundings.clock.sleep(remaining)
            except Stopped:
                await self._cancel_begun(tries)
                raise

    # One attempt

    async def _try(self, step: Step, tries: Tries, scope: Scope) -> datetime | None:
        """Make the next attempt and keep it. When it failed: the instant at which another is due."""
        attempt = self._attempt(step, tries, scope)
        if step.is_container and tries.last is not None and attempt.begun is None:
            self._forget(step, attempt.scope)
        try:
            with stopping(scope.branch):
                entry = await self._carry_out(attempt, tries)
        except Wait as wait:
            return await self._begin_wait(attempt, tries, wait)
        except PipelineError as error:
            failed = attempt.entry(StepState.FAILED, error=step.blame(error, attempt=attempt.number))
            return await self._fail(attempt, tries, failed, error, has_effect=attempt.has_effect)
        except Stopped:
            # Gone into again for what runs last in it, a container that was stopped has its entry.
            was_stopped = tries.was_canceled_in(self._surroundings.context.run_attempt)
            if not (was_stopped and scope.branch.going is Going.STOPPING):
                await self._keep(attempt.entry(StepState.CANCELED), tries, scope, barrier=False)
            raise
        await self._keep(entry, tries, scope, barrier=attempt.has_effect)
        return None

    def _forget(self, container: Step, scope: Scope) -> None:
        """What an earlier attempt of a container has left is not seen by the next, unless it goes on in the same."""
        for step in seen_behind(container):
            if scope.path(step) not in self._begun:
                scope.forget(step)

    async def _begin_wait(self, attempt: Attempt, tries: Tries, wait: Wait) -> datetime:
        """Keep when an attempt ends that has only begun: a short wait here, one for which the run may park for good.
        Raises Park where something is asked."""
        if attempt.begun is None:
            entry = replace(attempt.entry(StepState.STARTED), question=wait.question)
            if wait.question is None and wait.until - self._surroundings.clock.now() <= self._park_after:
                tries.add(entry)
            else:
                await self._keep_begun(entry, tries, attempt.scope)
        if wait.question is None:
            return wait.until
        raise Park(wait.until, attempt.path, asked=True)

    async def _keep_begun(self, entry: StepEntry, tries: Tries, scope: Scope) -> None:
        try:
            await self._keep(entry, tries, scope, barrier=True)
        except Stopped:
            await self._cancel_begun(tries)
            raise

    def _attempt(self, step: Step, tries: Tries, scope: Scope) -> Attempt:
        begun = tries.last if step.lasts and tries.last and tries.last.state is StepState.STARTED else None
        path = scope.path(step)
        return Attempt(
            step=step,
            path=path,
            number=self._next_number(path, tries) if begun is None else begun.attempt,
            scope=self._begun.inside(step, scope) if step.is_container else scope,
            surroundings=self._surroundings,
            run_steps=self.run_steps,
            run_together=self.run_together,
            started_at=(begun and begun.started_at) or self._surroundings.clock.now(),
            input=begun and begun.input,
            begun=begun,
        )

    def _next_number(self, path: str, tries: Tries) -> int:
        """Attempts of a step are counted over all bodies of the containers around it."""
        return max(tries.next_attempt, self._numbers.get(shown_path(path), 0) + 1)

    async def _keep(self, entry: StepEntry, tries: Tries, scope: Scope, *, barrier: bool) -> None:
        """Write down how an attempt has ended. What has happened is kept even where the branch is stopped meanwhile."""
        self._begun.add(entry.path)
        self._numbers[shown_path(entry.path)] = entry.attempt
        record = self._surroundings.journal.record(entry, barrier=barrier)
        if not (barrier and scope.branch.can_be_stopped):
            await record
            tries.add(entry)
            return
        recording = asyncio.ensure_future(record)
        try:
            await asyncio.shield(recording)
        except asyncio.CancelledError:
            if not scope.branch.is_stopped:
                recording.cancel()
                raise
            calm_down()
            await recording
            tries.add(entry)
            raise Stopped from None
        tries.add(entry)

    async def _carry_out(self, attempt: Attempt, tries: Tries) -> StepEntry:
        """The entry of an attempt that succeeded or was skipped. Raises PipelineError."""
        step, condition = attempt.step, None if attempt.begun else attempt.step.condition
        if condition is not None and not holds(condition, attempt.names, f"{step.pointer}/if"):
            return attempt.entry(StepState.SKIPPED)
        if not tries.was_started:
            self._count_start(step, attempt.scope)
        if step.is_container and step.lasts and attempt.begun is None:
            await self._keep(attempt.entry(StepState.STARTED), tries, attempt.scope, barrier=False)
        output = await self._output(attempt)
        self._size.add(output, runs_last=attempt.scope.runs_last)
        return attempt.entry(StepState.SUCCEEDED, output=output)

    async def _fail(
        self, attempt: Attempt, tries: Tries, entry: StepEntry, error: PipelineError, *, has_effect: bool
    ) -> datetime | None:
        """Keep a failed attempt. Returns when the next is due, None where the failure is tolerated; else raises it."""
        step = attempt.step
        error = step.blame(error, attempt=entry.attempt)
        entry = replace(entry, error=error.as_dict())
        tries.add(entry)
        context = self._surroundings.context
        due_at = tries.next_due(step.retry, error, run_attempt=context.run_attempt, rng=self._rng)
        if due_at is None and step.continue_on_error:
            entry = replace(entry, tolerated=True, output={"error": entry.error})
        parks = due_at is not None and due_at - self._surroundings.clock.now() > self._park_after
        await self._keep(entry, tries, attempt.scope, barrier=has_effect or parks)
        if due_at is None and not entry.tolerated:
            raise error
        return due_at

    async def _output(self, attempt: Attempt) -> Any:
        """What the step's kind makes, or the fixture of a kind that does not see to that itself."""
        step = attempt.step
        fixture = None if isinstance(step.body, ToolBody) or step.asks else attempt.fixture
        if fixture is not None:
            attempt.is_simulated = True
            pointer, clock = f"{step.pointer}/simulate", attempt.fixture_clock
            return await fixture_result(fixture, attempt.names, pointer, timeout=step.timeout, clock=clock)
        if step.is_container and step.timeout is not None:
            has_begun = attempt.begun is not None and self._begun.any_within(step, attempt.scope)
            until = attempt.ends_after(step.timeout, f"{step.pointer}/timeout")
            return await run_bounded(attempt, until, has_begun=has_begun)
        return await INTERPRETERS[type(step.body)](step.body, attempt)

    # Lines of steps side by side

    async def run_together(self, lines: Sequence[Line], scope: Scope, *, at_once: int, on_end: OnEnd) -> None:
        """See `RunTogether`. Where the run is taken up again, what had ended before decides before anything is started:
        a line that was stopped for it is not begun anew."""
        side_by_side = SideBySide(
            [partial(self._run_line, line) for line in lines],
            at_once=at_once,
            clock=self._surroundings.clock,
            owner=scope.branch,
            on_end=on_end,
        )
        begun = [place for place, line in enumerate(lines) if self._begun.any_of(line.steps, line.scope)]
        if scope.branch.going is Going.STOPPING:
            await side_by_side.give_up(begun)
        if scope.branch.going is Going.LOOKING:
            await self._look_at(lines, scope.branch, on_end)
            return
        ended = [place for place in begun if await self._has_ended(lines[place])]
        for place in ended:
            if await side_by_side.run([place]):
                await side_by_side.leave(other for other in begun if other not in ended)
                return
        await side_by_side.run(place for place in range(len(lines)) if place not in ended)

    async def _run_line(self, line: Line, branch: Branch) -> Any:
        scope = line.scope.in_branch(branch)
        return line.finish(await self.run_steps(line.steps, scope), scope)

    async def _has_ended(self, line: Line) -> bool:
        """True where nothing is left to be started in a line."""
        try:
            await self._run_line(line, Branch(Going.LOOKING))
        except Stopped:
            return False
        except (PipelineError, WayOut):
            return True
        return True

    async def _look_at(self, lines: Sequence[Line], branch: Branch, on_end: OnEnd) -> None:
        """What lines come to without anything being started. Raises Stopped where that does not decide."""
        undecided = False
        for place, line in enumerate(lines):
            try:
                end = await self._run_line(line, branch)
            except PipelineError as error:
                end = error
            except Stopped:
                undecided = True
                continue
            if on_end(place, end):
                return
        if undecided:
            raise Stopped
