"""What a tool is: a named callable with schemas, a side-effect class and a way to be simulated. No Django here.

A tool author writes

    @tool(
        name="weather.forecast",
        input_schema={"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
        output_schema={"type": "object"},
        side_effect=SideEffect.PURE,
    )
    async def forecast(context: ToolContext, *, city: str) -> dict: ...

and names it in the entry-point group `ordinaut.tools`. A synchronous tool runs in a process of its own that is
killed at the time-out, unless it is declared `trusted`, which means: it returns by itself when its time is over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

ANY_SECRET = "*"  # noqa: S105 - no secret, a word for all of them


class SideEffect(StrEnum):
    """What repeating a call does to the world.

    `pure` changes nothing; `idempotent` may be repeated with the same key; `effect` is seen by someone, so an intent
    is committed before the call.
    """

    PURE = "pure"
    IDEMPOTENT = "idempotent"
    EFFECT = "effect"


class InDoubt(StrEnum):
    """What to do about a call whose intent is stored and whose result is not: the worker died in between."""

    RETRY = "retry"
    FAIL = "fail"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a call may know. `idempotency_key` is the same for every attempt of one step of one run.

    `now` is the run's fixed instant (aware, UTC). `time_left` is how long the call may take. `lease_epoch` is a fencing
    token: each claim of a run has a higher one, so that a service which remembers the highest can refuse the late call
    of a worker that has lost the run. None outside of a worker. `hosts` are the only ones that the secrets in the input
    may be sent to, None where that is not limited; only `http.request` is given such.
    """

    run_id: str
    task_id: str
    step_path: str
    attempt: int
    idempotency_key: str
    now: datetime
    time_left: timedelta
    simulated: bool = False
    agent_id: str | None = None
    lease_epoch: int | None = None
    hosts: frozenset[str] | None = None


# `call(context, **input)`, the fields of the input schema as keyword arguments; gives the result or an awaitable of it.
Call = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the catalog holds it. Schemas are JSON Schema 2020-12 of the `with` object and of the result.

    `call` is None for a tool that is declared but not installed: it can only be simulated. `retry` is the default
    retry policy in the document's form, used where the step gives none. `examples` are
    `{"input": ..., "output": ...}`.

    `secrets` are the names of the secrets that may stand in its input, ANY_SECRET for whichever its owner gives to this
    tool. A tool that writes its input down somewhere takes none.
    """

    name: str
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    side_effect: SideEffect = SideEffect.EFFECT
    in_doubt: InDoubt = InDoubt.RETRY
    timeout: timedelta = timedelta(seconds=60)
    retry: Mapping[str, Any] | None = None
    version: str = "1"
    secrets: frozenset[str] = frozenset()
    examples: Sequence[Mapping[str, Any]] = ()
    trusted: bool = False
    call: Call | None = None
    simulate: Call | None = None
    entry_point: str | None = field(default=None)

    def takes_secret(self, name: str) -> bool:
        return ANY_SECRET in self.secrets or name in self.secrets

    @property
    def is_installed(self) -> bool:
        return self.call is not None


class Catalog(Protocol):
    """Where the tools of this host are looked up by name. `generation` is another number whenever it has changed."""

    generation: int = 0

    def get(self, name: str) -> ToolSpec | None: ...

    def names(self) -> Sequence[str]: ...

    def why_missing(self, name: str) -> str | None:
        """Why there is no tool of that name, where that is known, for people."""
        return None


def tool(
    *,
    name: str,
    input_schema: Mapping[str, Any],
    output_schema: Mapping[str, Any],
    side_effect: SideEffect = SideEffect.EFFECT,
    description: str = "",
    simulate: Call | None = None,
    **options: Any,
) -> Callable[[Call], ToolSpec]:
    """Turn a function into a `ToolSpec`; its description is the docstring's unless one is given."""

    def wrap(call: Call) -> ToolSpec:
        return ToolSpec(
            name=name,
            description=description or (getattr(call, "__doc__", None) or "").strip(),
            input_schema=input_schema,
            output_schema=output_schema,
            side_effect=side_effect,
            call=call,
            simulate=simulate,
            **options,
        )

    return wrap
