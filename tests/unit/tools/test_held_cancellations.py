"""Asynchronous tools that hold on to their cancellation: they have a moment to tidy up, and are left behind then."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.engine.ports import ToolCall
from pipelines.errors import PipelineError
from pipelines.tools import own_task
from pipelines.tools.base import ToolSpec
from pipelines.tools.invoke import ToolInvoker
from pipelines.tools.isolation import Isolation
from pipelines.tools.registry import ToolCatalog

SHORT = 0.05
VARIABLE: ContextVar[str] = ContextVar("variable", default="")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_task, "_TIDIES_FOR", 0.3)
    monkeypatch.setattr(own_task, "ABANDONED_AFTER", 0.5)
    monkeypatch.setattr(own_task, "_STAYS_AFTER", 0.5)


class Tool:
    """One call of `act`; `cancellations` counts what the tool was told. Set `let_go` to have it end at last."""

    def __init__(self, act: Callable[["Tool"], Awaitable[Any]]) -> None:
        self.act = act
        self.cancellations = 0
        self.has_begun, self.let_go = asyncio.Event(), asyncio.Event()
        self.abandoned: list[str] = []

    async def hold(self, wait: Awaitable[Any]) -> None:
        """Wait, and go on after a cancellation."""
        try:
            await wait
        except asyncio.CancelledError:
            self.cancellations += 1

    async def __call__(self, context: Any, /, **_: Any) -> Any:
        self.has_begun.set()
        return await self.act(self)

    async def invoked(self, *, seconds: float) -> Any:
        spec = ToolSpec(name="test.holding", description="", input_schema={}, output_schema={}, call=self)
        call = ToolCall(spec=spec, input={}, path="send", attempt=1, timeout=timedelta(seconds=seconds))
        async with Isolation(size=1) as isolation:
            invoke = ToolInvoker(
                ToolCatalog([spec]),
                isolation,
                run_id="r",
                task_id="t",
                now=datetime(2025, 6, 2, tzinfo=UTC),
                on_abandoned=lambda call: self.abandoned.append(call.path),
            )
            return await invoke(call)


async def never_ends(tool: Tool) -> None:
    while not tool.let_go.is_set():
        await tool.hold(tool.let_go.wait())


async def tidies_for_ever(tool: Tool) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        tool.cancellations += 1
        await asyncio.Event().wait()


async def tidies(tool: Tool) -> str:
    await tool.hold(asyncio.Event().wait())
    await asyncio.sleep(SHORT)
    tool.let_go.set()
    return "tidy"


async def fails(tool: Tool) -> None:
    await tool.hold(asyncio.Event().wait())
    raise RuntimeError("while it tidies up")


def timed_out(act: Callable[[Tool], Awaitable[Any]]) -> Tool:
    async def go() -> Tool:
        tool = Tool(act)
        with pytest.raises(PipelineError) as caught:
            await asyncio.wait_for(tool.invoked(seconds=SHORT), 5)
        assert caught.value.code == "timeout"
        if tool.abandoned:
            await asyncio.wait_for(stays(), 5)
        tool.let_go.set()
        return tool

    return asyncio.run(go())


def canceled(act: Callable[[Tool], Awaitable[Any]], *, times: int = 1) -> Tool:
    async def go() -> Tool:
        tool = Tool(act)
        call = asyncio.create_task(tool.invoked(seconds=60))
        await tool.has_begun.wait()
        for _ in range(times):
            call.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(call), 5)
        assert call.cancelled()
        if tool.abandoned:
            await asyncio.wait_for(stays(), 5)
        tool.let_go.set()
        return tool

    return asyncio.run(go())


async def stays() -> None:
    while own_task.abandoned() != ["test.holding"]:
        await asyncio.sleep(0)


@pytest.mark.parametrize("cut_off", [timed_out, canceled])
def test_one_that_never_ends_is_canceled_again_and_left_behind(cut_off: Callable[..., Tool]):
    tool = cut_off(never_ends)

    assert tool.abandoned == ["send"]
    assert tool.cancellations >= 2
    assert own_task.abandoned() == []  # it has come to its end by now


@pytest.mark.parametrize("cut_off", [timed_out, canceled])
def test_one_that_ends_when_it_is_canceled_again_is_not_left_behind(cut_off: Callable[..., Tool]):
    tool = cut_off(tidies_for_ever)

    assert (tool.abandoned, tool.cancellations) == ([], 1)


@pytest.mark.parametrize("cut_off", [timed_out, canceled])
def test_one_that_tidies_up_is_waited_for_and_not_disturbed(cut_off: Callable[..., Tool]):
    tool = cut_off(tidies)

    assert tool.let_go.is_set()
    assert (tool.abandoned, tool.cancellations) == ([], 1)


def test_a_call_that_is_canceled_again_and_again_leaves_its_tool_the_same_time():
    tool = canceled(tidies, times=5)

    assert tool.let_go.is_set()
    assert tool.cancellations == 1


def test_what_fails_while_it_is_stopped_is_told_in_the_log(caplog: pytest.LogCaptureFixture):
    assert timed_out(fails).abandoned == []

    assert "while it tidies up" in caplog.text


def test_a_cancellation_in_the_middle_of_the_end_of_its_time_is_the_runs():
    async def go() -> Tool:
        tool = Tool(never_ends)
        call = asyncio.create_task(tool.invoked(seconds=SHORT))
        while not tool.cancellations:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        tool.let_go.set()
        return tool

    assert asyncio.run(go()).abandoned == ["send"]


def test_context_variables_of_the_call_are_the_tools():
    async def read(_: Tool) -> str:
        return VARIABLE.get()

    async def go() -> Any:
        VARIABLE.set("of the call")
        return await Tool(read).invoked(seconds=5)

    assert asyncio.run(go()) == "of the call"
