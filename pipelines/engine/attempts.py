"""One attempt of one step: what its interpreter may use, and what it leaves for the journal."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from pipelines.document.limits import MAX_WAIT
from pipelines.document.moments import LAST_INSTANT, instant_after
from pipelines.document.nodes import Fixture, Step
from pipelines.engine.ports import Clock, Invoker, Journal, NoSecrets, RunContext, SecretStore, StepEntry, StepState
from pipelines.engine.questions import NO_ANSWERS, Answers
from pipelines.engine.scopes import Scope
from pipelines.engine.simulated import choose_fixture
from pipelines.engine.together import OnEnd
from pipelines.errors import ErrorClass, PipelineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every attempt of a run shares."""

    context: RunContext
    journal: Journal
    invoke: Invoker
    clock: Clock
    retries: Callable[[PipelineError], bool] = lambda _: False  # whether the run as a whole is tried again after it
    answers: Answers = NO_ANSWERS
    secrets: SecretStore = field(default_factory=NoSecrets)
    watch: Callable[[str], AbstractContextManager[None]] | None = None  # entered with the path of a step, around it


RunSteps = Callable[[tuple[Step, ...], Scope], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Line:
    """Steps that are carried out beside others; `finish` makes their result of the last step's."""

    steps: tuple[Step, ...]
    scope: Scope
    finish: Callable[[Any, Scope], Any] = lambda last, _: last


class RunTogether(Protocol):
    async def __call__(self, lines: Sequence[Line], scope: Scope, *, at_once: int, on_end: OnEnd) -> None:
        """Carry out lines side by side until all have ended, or `on_end` says that one decides: then the others are
        stopped. Raises what ends the run, and the failure of what a stopped line runs last."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """`run_steps` and `run_together` carry out steps inside of this one, in `scope`. The interpreter sets `input`,
    `is_simulated` and `has_effect` as it goes.

    `has_effect`: the world may have changed, so the result is committed before anything else happens. `begun`: what the
    journal has of this very attempt, which goes on after a wait.
    """

    step: Step
    path: str
    number: int
    scope: Scope
    surroundings: Surroundings
    run_steps: RunSteps
    run_together: RunTogether
    started_at: datetime
    input: Any = None
    is_simulated: bool = False
    has_effect: bool = False
    begun: StepEntry | None = None

    @property
    def names(self) -> Mapping[str, Any]:
        """What expressions see."""
        return self.scope.names

    def ends_after(self, length: timedelta | None, pointer: str) -> datetime:
        """The instant so long after the start; without a length, as late as a wait may end.

        Raises PipelineError (`bad_argument`, at `pointer`) where the calendar has no such instant.
        """
        if length is None:
            return self.started_at + min(MAX_WAIT, LAST_INSTANT - self.started_at)
        try:
            return instant_after(self.started_at, length)
        except ValueError as error:
            raise PipelineError("bad_argument", ErrorClass.VALIDATION, str(error), pointer=pointer) from error

    @property
    def fixture(self) -> Fixture | None:
        """What the step's `simulate` says for this attempt; None in a run that is not simulated."""
        fixtures = self.step.simulation.fixtures
        if not self.surroundings.context.simulated or not fixtures:
            return None
        return choose_fixture(fixtures, self.names, f"{self.step.pointer}/simulate", attempt=self.number)

    @property
    def fixture_clock(self) -> Clock | None:
        """The clock on which the delays of fixtures are slept, if they are."""
        return self.surroundings.clock if self.surroundings.context.virtual_time else None

    async def declare_intent(self) -> None:
        """Commit that the call is about to be made. From here to its result the attempt is in doubt."""
        await self.surroundings.journal.record(self.entry(StepState.STARTED), barrier=True)

    def entry(
        self, state: StepState, *, output: Any = None, error: PipelineError | None = None, ended: bool = True
    ) -> StepEntry:
        """What the journal keeps of this attempt now."""
        has_ended = ended and state is not StepState.STARTED
        return StepEntry(
            path=self.path,
            kind=self.step.kind,
            state=state,
            attempt=self.number,
            run_attempt=self.surroundings.context.run_attempt,
            uses=self.step.uses,
            input=self.input,
            output=output,
            error=None if error is None else error.as_dict(),
            simulated=self.is_simulated,
            started_at=self.started_at,
            finished_at=self.surroundings.clock.now() if has_ended else None,
        )
