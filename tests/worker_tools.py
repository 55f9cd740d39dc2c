"""Tools for tests with real worker processes: they keep a ledger of what really happened, and hold or kill on demand.

The ledger is an append-only file, one JSON object a line; the environment names it, and the folder of the signals
that a held call waits for.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.tools.base import SideEffect, ToolContext, tool
from tests import leftovers
from tests.process_trees import parent_of

LEDGER = "ORDINAUT_TEST_LEDGER"
ANYTHING: Mapping[str, Any] = {"type": "object"}
ENTRY_POINTS = """[ordinaut.tools]
test.hold = tests.worker_tools:hold
test.note = tests.worker_tools:note
test.kill = tests.worker_tools:kill
test.block = tests.worker_tools:block
test.hold_isolated = tests.worker_tools:hold_isolated
test.hold_trusted = tests.worker_tools:hold_trusted
test.cling = tests.worker_tools:cling
test.grow = tests.worker_tools:grow
test.leave = tests.worker_tools:leave
test.leave_isolated = tests.worker_tools:leave_isolated
"""


def write(context: ToolContext, what: str) -> None:
    line = {
        "what": what,
        "run": context.run_id,
        "step": context.step_path,
        "attempt": context.attempt,
        "key": context.idempotency_key,
        "pid": os.getpid(),
    }
    with Path(os.environ[LEDGER]).open("a", encoding="utf-8") as ledger:
        ledger.write(json.dumps(line) + "\n")


@tool(name="test.note", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=SideEffect.EFFECT)
async def note(context: ToolContext, /, **_: Any) -> dict[str, Any]:
    """Write a line and return."""
    write(context, "note")
    return {"pid": os.getpid()}


@tool(name="test.hold", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=SideEffect.EFFECT)
async def hold(context: ToolContext, /, *, until: str) -> dict[str, Any]:
    """Write a line, wait until the file `until` exists, write another."""
    write(context, "began")
    while not Path(until).exists():
        await asyncio.sleep(0.02)
    write(context, "ended")
    return {"pid": os.getpid()}


@tool(name="test.kill", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=SideEffect.EFFECT)
async def kill(context: ToolContext, /, **_: Any) -> dict[str, Any]:
    """Kill the worker that runs it."""
    write(context, "kills")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


@tool(name="test.block", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=SideEffect.EFFECT)
async def block(context: ToolContext, /, *, unless: str) -> dict[str, Any]:
    """Stand in the way of the event loop, unless the file exists."""
    write(context, "blocks")
    while not Path(unless).exists():
        time.sleep(0.05)
    return {}


def _hold(context: ToolContext, until: str) -> dict[str, Any]:
    # An isolated tool does not see the worker's environment; the ledger is beside the signals.
    os.environ.setdefault(LEDGER, str(Path(until).parent / "ledger"))
    write(context, "began")
    while not Path(until).exists():
        time.sleep(0.02)
    write(context, "ended")
    return {"pid": os.getpid()}


@tool(name="test.hold_isolated", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=SideEffect.EFFECT)
def hold_isolated(context: ToolContext, /, *, until: str) -> dict[str, Any]:
    """As `hold`, in a process of its own."""
    return _hold(context, until)


@tool(
    name="test.hold_trusted",
    input_schema=ANYTHING,
    output_schema=ANYTHING,
    side_effect=SideEffect.EFFECT,
    trusted=True,
)
def hold_trusted(context: ToolContext, /, *, until: str) -> dict[str, Any]:
    """As `hold`, in a thread of the worker."""
    return _hold(context, until)


@tool(name="test.leave", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=SideEffect.EFFECT)
async def leave(context: ToolContext, /, *, what: str, folder: str) -> dict[str, Any]:
    """Leave something behind; see `tests.leftovers`."""
    leftovers.leave(what, Path(folder), worker=os.getpid())
    write(context, "left")
    return {}


@tool(name="test.leave_isolated", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=SideEffect.EFFECT)
def leave_isolated(context: ToolContext, /, *, what: str, folder: str) -> dict[str, Any]:
    """The same in a process of its own, and hold it."""
    os.environ.setdefault(LEDGER, str(Path(folder).parent / "ledger"))
    # The parent of an isolated process is its warden.
    leftovers.leave(what, Path(folder), worker=parent_of(os.getppid()))
    write(context, "left")
    time.sleep(300)
    return {}


@tool(name="test.cling", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=SideEffect.EFFECT)
async def cling(context: ToolContext, /, **_: Any) -> dict[str, Any]:
    """Never end, whatever cancels it."""
    write(context, "clings")
    while True:
        try:
            await asyncio.sleep(60)
        except BaseException:  # noqa: BLE001, S112 - that is the point
            continue


_GROWN: list[bytes] = []


@tool(name="test.grow", input_schema=ANYTHING, output_schema=ANYTHING, side_effect=SideEffect.EFFECT)
async def grow(context: ToolContext, /, *, mebibytes: int) -> dict[str, Any]:
    """Hold so much memory for ever."""
    write(context, "grows")
    _GROWN.append(b"x" * (mebibytes << 20))
    return {}


def install(folder: Path) -> None:
    """Make `folder`, put on PYTHONPATH, a distribution that registers these tools."""
    distribution = folder / "ordinaut_test_tools-1.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: ordinaut-test-tools\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text(ENTRY_POINTS)
