"""Tools that cancel asyncio tasks which are not theirs to cancel, in a worker's slots."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.tools.base import InDoubt
from tests.db.workers.test_execution import Tools, run_once, states_of_steps
from tests.workers_support import Bench, bench, change, due_work, reload, run, run_of, until
from workers.execution import Stop

pytestmark = pytest.mark.django_db(transaction=True)

SEND = {"id": "send", "uses": "test.call", "with": {}}
TIDY = {"id": "tidy", "uses": "test.call", "with": {}}


def cancel_own_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


class CancelsItself(Tools):
    """At `send`, after what the test does there; it answers at `tidy`."""

    meanwhile: Callable[[], Awaitable[None]] | None = None
    is_first = True  # before what comes from outside, else after it

    async def call(self, context: Any, /, **given: Any) -> Any:
        self.calls.append(context.step_path)
        if context.step_path == "tidy":
            return {"ok": True}
        if self.is_first:
            cancel_own_task()
        if self.meanwhile is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            await self.meanwhile()
        cancel_own_task()
        return await asyncio.Event().wait()


AROUND: dict[str, dict[str, Any]] = {
    "nothing": {"steps": [SEND]},
    "finally": {"steps": [SEND], "finally": [TIDY]},
    "try": {"steps": [{"id": "guard", "try": [SEND], "finally": [TIDY]}]},
    "parallel": {
        "steps": [{"id": "both", "parallel": {"branches": {"a": [SEND], "b": [{"id": "b", "set": {"a": 1}}]}}}],
        "finally": [TIDY],
    },
    "for_each": {"steps": [{"id": "each", "for_each": [1], "concurrency": 2, "steps": [SEND]}], "finally": [TIDY]},
}


@pytest.mark.parametrize("in_doubt", [InDoubt.RETRY, InDoubt.FAIL])
@pytest.mark.parametrize("around", AROUND)
def test_a_tool_that_cancels_its_own_task_fails_its_step_and_what_runs_last_runs(around: str, in_doubt: InDoubt):
    work, tools = due_work({"version": 1, **AROUND[around]}), CancelsItself(in_doubt=in_doubt)

    run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.cause, ended.error["code"]) == ("failed", "permanent", "canceled_by_tool")
    assert ended.error["step"] == "send"
    states = {path.rpartition(".")[2]: state for path, state in states_of_steps().items()}
    assert states["send"] == "failed"
    assert [path.rpartition(".")[2] for path in tools.calls] == ["send"] + ["tidy"] * (around != "nothing")
    assert reload(work) is None


async def cancel(process: Bench, work: Any) -> None:
    await change(work, cancel_requested_at=datetime.now(UTC))
    await process.pool.watch_once()


async def lose(process: Bench, work: Any) -> None:
    await change(work, lease_epoch=10_000)
    await process.pool.watch_once()


def interrupted(
    document: dict[str, Any], by: Callable[[Bench, Any], Awaitable[None]], *, is_first: bool
) -> tuple[Any, CancelsItself]:
    """The run and its tool, which canceled itself in the moment in which the pool was interrupted, too."""
    work, tools = due_work(document), CancelsItself()
    tools.is_first = is_first

    async def midway() -> None:
        async with bench(catalog=tools.catalog) as process:
            tools.meanwhile = lambda: by(process, work)
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await process.settled()

    run(midway())
    return work, tools


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(("last", "calls"), [({}, ["send"]), ({"finally": [TIDY]}, ["send", "tidy"])])
def test_a_cancel_that_comes_at_the_same_time_wins(last: dict[str, Any], calls: list[str], is_first: bool):
    work, tools = interrupted({"version": 1, "steps": [SEND], **last}, cancel, is_first=is_first)

    assert (run_of(work).state, reload(work), tools.calls) == ("canceled", None, calls)
    assert states_of_steps()["send"] == "canceled"


@pytest.mark.parametrize("is_first", [True, False])
def test_so_does_a_drain_which_hands_the_run_back_uncounted(is_first: bool):
    async def drain(process: Bench, work: Any) -> None:
        for execution in list(process.pool._running.values()):
            execution.stop(Stop.DRAIN)

    work, tools = interrupted({"version": 1, "steps": [SEND], "finally": [TIDY]}, drain, is_first=is_first)

    back = reload(work)
    assert back is not None
    assert (run_of(work).state, back.attempt, tools.calls) == ("queued", work.attempt, ["send"])


@pytest.mark.parametrize("is_first", [True, False])
def test_so_does_the_loss_of_the_lease_of_which_nothing_is_told(is_first: bool):
    work, tools = interrupted({"version": 1, "steps": [SEND], "finally": [TIDY]}, lose, is_first=is_first)

    assert reload(work) is not None
    assert (run_of(work).error, tools.calls) == (None, ["send"])


class CancelsItsRun(Tools):
    """Goes out of its way to find the task of the run that called it."""

    async def call(self, context: Any, /, **given: Any) -> Any:
        self.calls.append(context.step_path)
        for task in asyncio.all_tasks():
            if task.get_name() == f"run {context.run_id}":
                task.cancel()
        await asyncio.Event().wait()


def test_a_tool_that_cancels_its_run_behind_its_back_fails_it_and_the_lease_goes_back():
    work, tools = due_work({"version": 1, "steps": [SEND], "finally": [TIDY]}), CancelsItsRun()

    run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.cause, ended.error["code"]) == ("failed", "permanent", "canceled_by_tool")
    assert (reload(work), tools.calls) == (None, ["send"])
    assert states_of_steps() == {"send": "interrupted"}


def test_the_end_of_a_runs_time_wins_over_a_tool_that_cancels_itself_then():
    class Late(CancelsItself):
        async def call(self, context: Any, /, **given: Any) -> Any:
            if context.step_path == "send":
                try:
                    await asyncio.Event().wait()
                finally:
                    cancel_own_task()
            return await super().call(context, **given)

    work = due_work({"version": 1, "steps": [SEND], "finally": [TIDY]}, task={"timeout": timedelta(milliseconds=200)})
    tools = Late()

    run_once(tools)

    assert (run_of(work).state, run_of(work).cause, tools.calls) == ("failed", "deadline", ["tidy"])
