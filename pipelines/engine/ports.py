"""What the engine needs from outside: a journal, a way to call tools, a clock; and what it gives back.

The engine decides *how* a run goes on; it owns no database, no process and no wall clock. A worker gives it real
ports, the simulator gives it a journal in memory and virtual time.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import ToolSpec


class StepState(StrEnum):
    """`started` is an intent that has no result yet; `interrupted` a try that a drain or a death cut off."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"
    CANCELED = "canceled"


class QuestionKind(StrEnum):
    """Who answers: people; whoever publishes an event; another run."""

    APPROVAL = "approval"
    EVENT = "event"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a step asks of the outside. `until` (aware UTC) is when the time for an answer is over, None where nobody
    has set one; `asks` is what whoever answers has to know, as a JSON value; `topic` is the pattern of the events that
    may answer, where it is they."""

    kind: QuestionKind
    until: datetime | None
    asks: Mapping[str, Any]
    topic: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEntry:
    """One attempt of one step. `attempt` counts a step's tries over the whole run, from 1; `run_attempt` is the try
    of the run it belongs to. `tolerated`: failed under `continue_on_error`, so finished. Times are aware UTC.

    `question`: the step has started and asks it, from the moment on at which this entry is committed. It is withdrawn
    with the entry that ends the attempt.
    """

    path: str
    kind: str
    state: StepState
    attempt: int
    run_attempt: int = 1
    uses: str | None = None
    input: Any = None
    output: Any = None
    error: Mapping[str, Any] | None = None
    simulated: bool = False
    tolerated: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    question: Question | None = None

    @property
    def is_finished(self) -> bool:
        """True where this entry's result stands for ever: the step is not run again by this run."""
        return self.state in (StepState.SUCCEEDED, StepState.SKIPPED) or (
            self.state is StepState.FAILED and self.tolerated
        )


class Journal(Protocol):
    async def record(self, entry: StepEntry, *, barrier: bool) -> None:
        """Keep `entry`. With `barrier`, returns only when it and all before it are committed; without, the entry may
        ride with the next barrier. Raises whatever ends the run here (a lost lease); the engine lets that pass."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One try of a tool: the resolved input and what the tool's context needs. `timeout` bounds this attempt.

    `shown` is the input as it may be told, None where `input` itself may be; `hosts` where its secrets may be sent, if
    that is limited.
    """

    spec: ToolSpec
    input: Mapping[str, Any] = field(repr=False)
    path: str
    attempt: int
    timeout: timedelta
    shown: Mapping[str, Any] | None = None
    hosts: frozenset[str] | None = None

    @property
    def told(self) -> Mapping[str, Any]:
        """The input without any secret."""
        return self.input if self.shown is None else self.shown


@dataclass(frozen=True, slots=True)
class OpenedSecret:
    """A secret's value, for one call. `hosts`: where alone it may be sent, None for anywhere."""

    value: str = field(repr=False)
    hosts: frozenset[str] | None = None


class SecretStore(Protocol):
    async def read(self, names: Collection[str], *, tool: str) -> Mapping[str, OpenedSecret]:
        """The secrets of the run's agent, as they are now. Raises PipelineError where one does not exist, is not for
        this tool, or cannot be decrypted here."""
        ...


class NoSecrets:
    """Where there are none, as in a simulation."""

    async def read(self, names: Collection[str], *, tool: str) -> Mapping[str, OpenedSecret]:
        first = min(names)
        raise PipelineError("unknown_secret", ErrorClass.PERMANENT, f"there is no secret {first!r} for {tool}")


class Invoker(Protocol):
    async def __call__(self, call: ToolCall) -> Any:
        """Run the tool for real and return its result. Raises PipelineError for every failure of the tool, its
        time-out and a cancellation that it gave itself included; asyncio.CancelledError when the run is canceled or
        handed back."""
        ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, aware UTC."""
        ...

    async def sleep(self, delay: timedelta) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What expressions see as `run`, `task`, `event`, `params` and `now`, and the limits of this run.

    `params` are the run's own, laid over the document's defaults key by key. `now` is the run's fixed instant.
    `virtual_time`: the clock is a simulator's, so the delays of fixtures are slept; elsewhere they only decide whether
    a time-out is passed. `skips_waits`: whoever carries the run out goes on at once where it parks, so every wait does.
    """

    run: Mapping[str, Any]
    task: Mapping[str, Any]
    params: Mapping[str, Any]
    now: datetime
    event: Mapping[str, Any] | None = None
    run_attempt: int = 1
    simulated: bool = False
    virtual_time: bool = False
    skips_waits: bool = False


@dataclass(frozen=True, slots=True)
class Succeeded:
    outputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    error: PipelineError


@dataclass(frozen=True, slots=True)
class Parked:
    """No branch can go on before `until` (aware UTC): give the slot away and resume from the journal then.

    `path` is the step that waits longest in sight of an operator, "" where none can be named. `asked`: that step has a
    question out, so that the run goes on earlier where it is answered.
    """

    until: datetime
    path: str = ""
    asked: bool = False


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The run was given up from outside, for this error; what runs last has run."""

    error: PipelineError


Outcome = Succeeded | Failed | Parked | GivenUp
