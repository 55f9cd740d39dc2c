"""The compiled document: what the engine walks. Everything is immutable and has been checked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from pipelines.document.problems import Problem
from pipelines.document.schemas import Schema
from pipelines.errors import RETRYABLE_CLASSES, ErrorClass, PipelineError
from pipelines.expressions import CompiledValue, Expression
from pipelines.tools.base import ToolSpec


class Backoff(StrEnum):
    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed step is tried again. `max_attempts` counts the first; `on` holds error classes and codes.

    No attempt starts later than `max_elapsed` after the first start; None bounds nothing.
    """

    max_attempts: int = 1
    backoff: Backoff = Backoff.EXPONENTIAL
    initial: timedelta = timedelta(seconds=1)
    maximum: timedelta = timedelta(seconds=60)
    factor: float = 2.0
    jitter: bool = False
    max_elapsed: timedelta | None = None
    on: frozenset[str] = frozenset(RETRYABLE_CLASSES)

    def covers(self, *, error_class: str, code: str) -> bool:
        return error_class != ErrorClass.CANCELED and (error_class in self.on or code in self.on)


NO_RETRY = RetryPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """What a simulated attempt answers: `output`, or `error` where that is given. `when` picks it for one item."""

    output: CompiledValue
    error: CompiledValue | None = None
    delay: timedelta = timedelta()
    when: Expression | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """How a step behaves in a simulated run: for real, or by fixtures, one an attempt, the last repeated. `is_always`:
    also in a run that acts for real its tool is not called."""

    fixtures: tuple[Fixture, ...] = ()
    is_real: bool = False
    is_always: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolBody:
    """Call a tool. `given` is the value of `with`, `shown` the same without what its secrets make of it."""

    spec: ToolSpec
    given: CompiledValue
    shown: CompiledValue
    input_schema: Schema
    output_schema: Schema


@dataclass(frozen=True, slots=True)
class SetBody:
    """Evaluate an object."""

    values: CompiledValue


@dataclass(frozen=True, slots=True, kw_only=True)
class FailBody:
    """End with an error."""

    code: str
    message: CompiledValue
    error_class: ErrorClass


@dataclass(frozen=True, slots=True)
class SucceedBody:
    """End the run well. Without `outputs` the document's are evaluated."""

    outputs: CompiledValue | None


@dataclass(frozen=True, slots=True)
class Case:
    """One branch of a switch."""

    when: Expression
    steps: "tuple[Step, ...]"


@dataclass(frozen=True, slots=True)
class SwitchBody:
    """Run the steps of the first case that holds, else those of `default`."""

    cases: tuple[Case, ...]
    default: "tuple[Step, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchClause:
    """Takes errors whose class or code is in `on`, all where that is None; its steps see the error as `name`."""

    steps: "tuple[Step, ...]"
    on: frozenset[str] | None = None
    name: str | None = None

    def takes(self, error: PipelineError) -> bool:
        return self.on is None or error.error_class in self.on or error.code in self.on


@dataclass(frozen=True, slots=True, kw_only=True)
class TryBody:
    """Run steps; the first clause that takes their error runs, and `last` in the end, whatever happened."""

    steps: "tuple[Step, ...]"
    catches: tuple[CatchClause, ...] = ()
    last: "tuple[Step, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEachBody:
    """Run steps once for each item of a list, which they see as `item`, `concurrency` at a time. Of each iteration
    `collect` is kept, else the last step's result; of one that failed, of which `max_failures` may, its error."""

    items: CompiledValue
    steps: "tuple[Step, ...]"
    item: str
    concurrency: int = 1
    max_failures: int = 0
    collect: CompiledValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhileBody:
    """Run steps as long as `condition` holds, which sees those of the iteration before; wanting more than
    `max_iterations` fails."""

    condition: Expression
    max_iterations: int
    steps: "tuple[Step, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelBody:
    """Run branches side by side: all of them, until one fails, or `is_any`, until one succeeds."""

    branches: "Mapping[str, tuple[Step, ...]]"
    is_any: bool = False


@dataclass(frozen=True, slots=True)
class WaitBody:
    """Go on later: after a length (`is_length`) that is counted from the start of the step, or at an instant."""

    end: CompiledValue
    is_length: bool


class OnTimeout(StrEnum):
    """What an approval comes to that nobody has decided in time."""

    FAIL = "fail"
    REJECT = "reject"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalBody:
    """Ask people whether to go on. `form` is the schema of what they fill in, None where they fill in nothing; `roles`
    are who may decide, anybody where it is empty; `timeout` None: for as long as a wait may be."""

    title: CompiledValue
    detail: CompiledValue
    form: Schema | None = None
    roles: tuple[str, ...] = ()
    timeout: timedelta | None = None
    on_timeout: OnTimeout = OnTimeout.FAIL
    tolerates_rejection: bool = False  # `on_reject: continue`


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBody:
    """Wait for an event of a topic that matches the pattern, and the condition, over the names of the run with `event`
    for the candidate. Events of the run's lifetime count, and of `buffered` before it. `timeout` None: for as long as a
    wait may be; `is_content_without`: a time-out gives null instead of failing."""

    topic: str
    condition: Expression | None = None
    timeout: timedelta | None = None
    is_content_without: bool = False
    buffered: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBody:
    """Run another task, named by its key; `waits`: for its end and its outputs."""

    task: CompiledValue
    params: CompiledValue
    waits: bool = True


Containing = SwitchBody | ForEachBody | WhileBody | ParallelBody | TryBody
Body = ToolBody | SetBody | FailBody | SucceedBody | WaitBody | ApprovalBody | EventBody | RunBody | Containing


def blocks_of(body: Body) -> "Iterator[tuple[Step, ...]]":
    """The lists of steps inside of a body."""
    match body:
        case SwitchBody(cases=cases, default=default):
            yield from (case.steps for case in cases)
            yield default
        case TryBody(steps=steps, catches=catches, last=last):
            yield steps
            yield from (clause.steps for clause in catches)
            yield last
        case ForEachBody(steps=steps) | WhileBody(steps=steps):
            yield steps
        case ParallelBody(branches=branches):
            yield from branches.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `names` are those its result is read by: its id, and `save_as`. `pointer` leads to it from the root."""

    id: str
    names: tuple[str, ...]
    pointer: str
    kind: str
    body: Body
    condition: Expression | None = None
    timeout: timedelta | None = None
    retry: RetryPolicy = NO_RETRY
    continue_on_error: bool = False
    simulation: Simulation = field(default=Simulation())
    is_container: bool = field(init=False)
    asks: bool = field(init=False)  # it puts a question to the outside and waits for its answer
    lasts: bool = field(init=False)  # the start of an attempt is kept, and it goes on when the run is taken up again

    def __post_init__(self) -> None:
        # Asked for each step of each run, so they are worked out once.
        is_container = isinstance(self.body, CONTAINERS)
        asks = isinstance(self.body, ASKING)
        lasts = asks or isinstance(self.body, WaitBody) or (is_container and self.timeout is not None)
        object.__setattr__(self, "is_container", is_container)
        object.__setattr__(self, "asks", asks)
        object.__setattr__(self, "lasts", lasts)

    @property
    def uses(self) -> str | None:
        return self.body.spec.name if isinstance(self.body, ToolBody) else None

    def blame(self, error: PipelineError, *, attempt: int) -> PipelineError:
        """`error`, knowing that this attempt of this step raised it. Through containers errors pass as they are."""
        if not self.is_container or error.step is None:
            error.step = self.id
            error.attempt = attempt
        return error


def walk(steps: Iterable[Step]) -> Iterator[Step]:
    """These steps and all inside of them, in the order of the document."""
    for step in steps:
        yield step
        for block in blocks_of(step.body):
            yield from walk(block)


@dataclass(frozen=True, slots=True)
class Assertion:
    text: str
    expression: Expression


def seen_behind(container: Step) -> Iterator[Step]:
    """The steps inside whose results are known behind the container: all but those of loops, which are known in their
    own iteration only."""
    if isinstance(container.body, LOOPS):
        return
    for block in blocks_of(container.body):
        for step in block:
            yield step
            yield from seen_behind(step)


LOOPS = (ForEachBody, WhileBody)
ASKING = (ApprovalBody, EventBody, RunBody)
CONTAINERS = (SwitchBody, TryBody, ParallelBody, *LOOPS)
_COMPUTING = (SetBody, FailBody, SucceedBody, SwitchBody, TryBody, WhileBody)


def _only_computes(step: Step) -> bool:
    """Lines side by side wait for each other, a container with a time-out is a line of its own, another try waits."""
    if step.lasts or step.retry.max_attempts > 1:
        return False
    body = step.body
    return isinstance(body, _COMPUTING) or (isinstance(body, ForEachBody) and body.concurrency == 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A document that can be run. `source` is its normal form; `warnings` is what was found beside errors; `reads` are
    the names of a run that its expressions speak of, which are all that have to be made for it."""

    source: Mapping[str, Any]
    params: Mapping[str, Any]
    params_schema: Schema | None
    steps: tuple[Step, ...]
    on_error: tuple[Step, ...] = ()
    last: tuple[Step, ...] = ()  # `finally`
    outputs: CompiledValue
    assertions: tuple[Assertion, ...]
    max_steps: int
    reads: frozenset[str]
    warnings: tuple[Problem, ...] = ()
    is_pure: bool = field(init=False)  # no step does anything but compute: no tool is called, nothing is waited for
    step_count: int = field(init=False)  # of all that are written, however deep
    runs_last: bool = field(init=False)  # something is run whatever happens, a cancellation too

    def __post_init__(self) -> None:
        steps = list(walk((*self.steps, *self.on_error, *self.last)))
        object.__setattr__(self, "is_pure", all(map(_only_computes, steps)))
        object.__setattr__(self, "step_count", len(steps))
        tidies = any(isinstance(step.body, TryBody) and step.body.last for step in steps)
        object.__setattr__(self, "runs_last", bool(self.last) or tidies)

    def merge_params(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The document's defaults, replaced key by key by the run's own."""
        return {**self.params, **given}
