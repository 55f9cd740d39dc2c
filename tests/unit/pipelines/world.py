"""A small world for the engine: tools that count their calls, a journal in memory, a clock that only sleeping moves."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from pipelines.document import compile_document
from pipelines.engine import run_pipeline
from pipelines.engine.ports import OpenedSecret, Outcome, Parked, RunContext, StepEntry, StepState, ToolCall
from pipelines.engine.questions import Answers
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import ANY_SECRET, Catalog, InDoubt, SideEffect, ToolSpec

START = datetime(2025, 1, 6, 6, 0, tzinfo=UTC)

Behaviour = Callable[[ToolCall], Any]


class FakeCatalog(Catalog):
    def __init__(self, *specs: ToolSpec) -> None:
        self._specs = {spec.name: spec for spec in specs}

    def get(self, name: str) -> ToolSpec | None:
        return self._specs.get(name)

    def names(self) -> Sequence[str]:
        return sorted(self._specs)


def never_called(*_: Any, **__: Any) -> Any:
    raise AssertionError("the engine calls tools through its port")


def spec(
    name: str,
    side_effect: SideEffect = SideEffect.PURE,
    *,
    input_schema: Mapping[str, Any] | None = None,
    output_schema: Mapping[str, Any] | None = None,
    **options: Any,
) -> ToolSpec:
    options.setdefault("call", never_called)
    return ToolSpec(
        name=name,
        description=name,
        input_schema=input_schema or {"type": "object"},
        output_schema=output_schema or {},
        side_effect=side_effect,
        **options,
    )


NUMBERS = {
    "type": "object",
    "required": ["a", "b"],
    "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
    "additionalProperties": False,
}

CATALOG = FakeCatalog(
    spec("math.add", input_schema=NUMBERS, output_schema={"type": "object", "required": ["result"]}),
    spec("echo"),
    spec("fetch", SideEffect.IDEMPOTENT),
    spec("send", SideEffect.EFFECT),
    spec(
        "sealing",
        SideEffect.EFFECT,
        input_schema={"type": "object", "properties": {"a": {"type": "string", "pattern": "^(Bearer )?[^\\[]"}}},
        secrets=frozenset({ANY_SECRET}),
    ),
    spec("charge", SideEffect.EFFECT, in_doubt=InDoubt.FAIL),
    spec("transfer", SideEffect.EFFECT, in_doubt=InDoubt.ASK),
    spec("declared", call=None, examples=({"input": {}, "output": {"ok": True}},)),
)


def answer(call: ToolCall) -> Any:
    """What the tools of this world do unless a test says otherwise."""
    if call.spec.name == "math.add":
        return {"result": call.input["a"] + call.input["b"]}
    return dict(call.input)


def failing(times: int, error: Callable[[], PipelineError]) -> Behaviour:
    """Fail so many times, then answer."""
    left = [times]

    def behave(call: ToolCall) -> Any:
        if left[0]:
            left[0] -= 1
            raise error()
        return answer(call)

    return behave


def transient(retry_after: float | None = None) -> PipelineError:
    return PipelineError("http_503", ErrorClass.TRANSIENT, "unavailable", retry_after=retry_after)


def permanent() -> PipelineError:
    return PipelineError("http_404", ErrorClass.PERMANENT, "not found")


class Killed(Exception):
    """The process died here."""


@dataclass
class World:
    """`kill_after`: the process dies once so many entries have been kept."""

    behaviour: Behaviour = answer
    simulated: bool = False
    kill_after: int | None = None
    instant: datetime = START
    entries: list[StepEntry] = field(default_factory=list)
    barriers: list[bool] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    slept: list[timedelta] = field(default_factory=list)
    run_attempt: int = 1
    is_retried: bool = False  # as a whole, after an error
    answers: dict[tuple[str, int], Any] = field(default_factory=dict)
    withdrawn: frozenset[tuple[str, int]] = frozenset()
    secrets: dict[str, str] = field(default_factory=dict)
    hosts: frozenset[str] | None = None  # of all of them

    # The ports

    async def read(self, names: Collection[str], *, tool: str) -> Mapping[str, OpenedSecret]:
        return {name: OpenedSecret(self.secrets[name], self.hosts) for name in names}

    async def record(self, entry: StepEntry, *, barrier: bool) -> None:
        self.entries.append(entry)
        self.barriers.append(barrier)
        if self.kill_after is not None and len(self.entries) >= self.kill_after:
            self.kill_after = None
            raise Killed

    async def invoke(self, call: ToolCall) -> Any:
        self.calls.append(call)
        return self.behaviour(call)

    def now(self) -> datetime:
        return self.instant

    async def sleep(self, delay: timedelta) -> None:
        self.slept.append(delay)
        self.instant += delay

    # What tests do

    async def go(
        self, document: Any, *, params: Mapping[str, Any] | None = None, event: Any = None, catalog: Catalog = CATALOG
    ) -> Outcome:
        """One go of the engine over what the journal holds."""
        context = RunContext(
            run={"id": "r1", "attempt": self.run_attempt, "trigger": "manual", "simulated": self.simulated},
            task={"id": "t1", "title": "Task", "labels": {}},
            params=params or {},
            now=START,
            event=event,
            run_attempt=self.run_attempt,
            simulated=self.simulated,
        )
        return await run_pipeline(
            compile_document(document, catalog=catalog),
            context=context,
            history=tuple(self.entries),
            journal=self,
            invoke=self.invoke,
            clock=self,
            rng=Random(1),
            retries=lambda _: self.is_retried,
            answers=Answers(given=dict(self.answers), withdrawn=self.withdrawn, as_of=self.instant),
            secrets=self,
        )

    async def finish(self, document: Any, *, params: Mapping[str, Any] | None = None) -> Outcome:
        """Go on through parkings and deaths to the end."""
        while True:
            try:
                outcome = await self.go(document, params=params)
            except Killed:
                continue
            if not isinstance(outcome, Parked):
                return outcome
            self.instant = outcome.until

    @property
    def states(self) -> list[tuple[str, StepState, int]]:
        """Path, state and attempt of what the journal holds: the last entry of each attempt."""
        last = {(entry.path, entry.attempt): entry for entry in self.entries}
        return [(entry.path, entry.state, entry.attempt) for entry in last.values()]

    def output(self, path: str) -> Any:
        return next(entry.output for entry in reversed(self.entries) if entry.path == path)


def document(*steps: Any, **fields: Any) -> dict[str, Any]:
    return {"version": 1, "steps": list(steps), **fields}
