"""The tools of the torture driver's pipelines. Each call writes to the ledger when it begins and when it ends."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import InDoubt, SideEffect, ToolContext, tool
from tests import leftovers
from tests.chaos.ledger import PLACE, Line, append, left_in, now
from tests.process_trees import parent_of

ANYTHING: Mapping[str, Any] = {"type": "object"}
NAMES = (
    "note", "recompute", "slow", "once", "flaky", "refuse", "isolated", "poison", "block", "leave", "leave_isolated",
    "cancel_itself",
)  # fmt: skip


def _write(context: ToolContext, what: str, kind: str, *, isolated: bool = False) -> None:
    append(
        Line(
            what=what,
            run=context.run_id,
            path=context.step_path,
            attempt=context.attempt,
            epoch=context.lease_epoch or 0,
            key=context.idempotency_key,
            kind=kind,
            pid=os.getpid(),
            # The parent of an isolated process is its warden.
            worker=parent_of(os.getppid()) if isolated else os.getpid(),
            at=now(),
        )
    )


def _sample(kind: str, side_effect: SideEffect, **options: Any) -> Any:
    return tool(name=f"chaos.{kind}", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=side_effect, **options)


@_sample("note", SideEffect.IDEMPOTENT)
async def note(context: ToolContext, /, **_: Any) -> dict[str, Any]:
    """Be quick."""
    _write(context, "begin", "note")
    _write(context, "end", "note")
    return {"epoch": context.lease_epoch}


@_sample("recompute", SideEffect.PURE)
async def recompute(context: ToolContext, /, **_: Any) -> dict[str, Any]:
    """Be quick, and allowed to be done again before it is committed."""
    _write(context, "begin", "recompute")
    _write(context, "end", "recompute")
    return {}


@_sample("slow", SideEffect.EFFECT)
async def slow(context: ToolContext, /, *, seconds: float) -> dict[str, Any]:
    """Take a while."""
    _write(context, "begin", "slow")
    await asyncio.sleep(seconds)
    _write(context, "end", "slow")
    return {}


@_sample("once", SideEffect.EFFECT, in_doubt=InDoubt.FAIL)
async def once(context: ToolContext, /, *, seconds: float) -> dict[str, Any]:
    """Take a while, and never be repeated when nobody knows how it ended."""
    _write(context, "begin", "once")
    await asyncio.sleep(seconds)
    _write(context, "end", "once")
    return {}


@_sample("flaky", SideEffect.EFFECT)
async def flaky(context: ToolContext, /, *, failures: int) -> dict[str, Any]:
    """Fail the first few times."""
    _write(context, "begin", "flaky")
    if context.attempt <= failures:
        raise PipelineError("flaky", ErrorClass.TRANSIENT, "not this time")
    _write(context, "end", "flaky")
    return {}


@_sample("refuse", SideEffect.EFFECT)
async def refuse(context: ToolContext, /, *, times: int) -> dict[str, Any]:
    """Fail for good, until it was tried so many times: the run is to be redriven by hand."""
    _write(context, "begin", "refuse")
    if context.attempt <= times:
        raise PipelineError("refused", ErrorClass.PERMANENT, "a person has to look at this")
    _write(context, "end", "refuse")
    return {}


@_sample("isolated", SideEffect.EFFECT, timeout=timedelta(seconds=20))
def isolated(context: ToolContext, /, *, seconds: float) -> dict[str, Any]:
    """Block, in a process of its own."""
    _write(context, "begin", "isolated", isolated=True)
    time.sleep(seconds)
    _write(context, "end", "isolated", isolated=True)
    return {}


@_sample("poison", SideEffect.EFFECT)
async def poison(context: ToolContext, /, **_: Any) -> dict[str, Any]:
    """Kill the worker process that runs it."""
    _write(context, "begin", "poison")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


@_sample("block", SideEffect.EFFECT)
async def block(context: ToolContext, /, *, seconds: float) -> dict[str, Any]:
    """Stand in the way of the worker's event loop, the first time."""
    _write(context, "begin", "block")
    if context.attempt == 1:
        time.sleep(seconds)
    _write(context, "end", "block")
    return {}


@_sample("leave", SideEffect.EFFECT)
async def leave(context: ToolContext, /, *, what: str) -> dict[str, Any]:
    """Leave something behind in the worker process; see `tests.leftovers`."""
    _write(context, "begin", "leave")
    leftovers.leave(what, left_in(Path(os.environ[PLACE])), worker=os.getpid())
    _write(context, "end", "leave")
    return {}


@_sample("leave_isolated", SideEffect.EFFECT, timeout=timedelta(seconds=20))
def leave_isolated(context: ToolContext, /, *, what: str, seconds: float) -> dict[str, Any]:
    """The same in a process of its own, and stay for a while, in which the worker may die."""
    _write(context, "begin", "leave_isolated", isolated=True)
    leftovers.leave(what, left_in(Path(os.environ[PLACE])), worker=parent_of(os.getppid()))
    time.sleep(seconds)
    _write(context, "end", "leave_isolated", isolated=True)
    return {}


@_sample("cancel_itself", SideEffect.EFFECT)
async def cancel_itself(context: ToolContext, /, *, waits: bool) -> dict[str, Any]:
    """Cancel the task that it runs in, and wait for that, or leave it to whatever is awaited next."""
    _write(context, "begin", "cancel_itself")
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    if waits:
        await asyncio.sleep(60)
    return {}


def install(folder: Path) -> None:
    """Make `folder`, put on PYTHONPATH, a distribution that registers these tools."""
    distribution = folder / "ordinaut_chaos_tools-1.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: ordinaut-chaos-tools\nVersion: 1\n")
    points = "".join(f"chaos.{name} = tests.chaos.tools:{name}\n" for name in NAMES)
    (distribution / "entry_points.txt").write_text(f"[ordinaut.tools]\n{points}")
