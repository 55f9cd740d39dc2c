"""Tools that hold on to their cancellation, in a worker's slots: their step and their run end all the same."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.tools import own_task
from tests.db.workers.test_execution import Tools, states_of_steps
from tests.workers_support import Bench, bench, change, due_work, reload, run, run_of, until

pytestmark = pytest.mark.django_db(transaction=True)

HOLD = {"id": "hold", "uses": "test.call", "with": {}}
TIDY = {"id": "tidy", "uses": "test.call", "with": {}}
AROUND: dict[str, dict[str, Any]] = {
    "nothing": {},
    "finally": {"finally": [TIDY]},
    "parallel": {
        "steps": [{"id": "both", "parallel": {"branches": {"a": [HOLD], "b": [{"id": "b", "set": {"a": 1}}]}}}]
    },
}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_task, "_TIDIES_FOR", 0.1)
    monkeypatch.setattr(own_task, "ABANDONED_AFTER", 0.2)


class Holding(Tools):
    """At `hold` it goes on whatever happens, until `let_go`."""

    has_let_go = False

    async def call(self, context: Any, /, **given: Any) -> Any:
        self.calls.append(context.step_path)
        while not self.has_let_go and context.step_path.endswith("hold"):
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        return {"ok": True}


async def nothing(process: Bench, work: Any) -> None:
    return


async def cancel(process: Bench, work: Any) -> None:
    await change(work, cancel_requested_at=datetime.now(UTC))
    await process.pool.watch_once()


async def drain(process: Bench, work: Any) -> None:
    await process.pool.drain(timedelta(0))


async def lose(process: Bench, work: Any) -> None:
    await change(work, lease_epoch=10_000)
    await process.pool.watch_once()


def held(
    document: dict[str, Any], meanwhile: Callable[[Bench, Any], Awaitable[None]] = nothing, **task: Any
) -> tuple[Any, str, Holding]:
    """The work, the last fault of the process, and the tool, whose step was cut off and which was let go only then."""
    work, tools, faults = due_work({"version": 1, "steps": [HOLD], **document}, task=task), Holding(), []

    async def go() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await meanwhile(process, work)
            try:
                await process.settled()
            finally:
                tools.has_let_go = True
            faults.append(process.pool._equipment.faults.text)

    run(go())
    return work, faults[0], tools


def test_the_step_has_timed_out_and_is_tried_again_by_the_rules():
    work, fault, tools = held(
        {"steps": [{**HOLD, "timeout": "PT0.1S", "retry": {"max_attempts": 2, "initial": "PT0S"}}]}
    )

    ended = run_of(work)
    assert (ended.state, ended.error["code"], tools.calls) == ("failed", "timeout", ["hold", "hold"])
    assert fault == f"the tool test.call went on after it was canceled: step hold of run {work.pk}"


@pytest.mark.parametrize("around", AROUND)
def test_the_end_of_the_runs_time_holds(around: str):
    work, fault, _ = held(AROUND[around], timeout=timedelta(seconds=0.2))

    assert (run_of(work).state, run_of(work).cause, reload(work)) == ("failed", "deadline", None)
    assert "test.call" in fault


@pytest.mark.parametrize("around", AROUND)
def test_a_cancel_holds(around: str):
    work, fault, tools = held(AROUND[around], cancel)

    assert (run_of(work).state, reload(work)) == ("canceled", None)
    assert (tools.calls[-1] == "tidy") is (around == "finally")
    assert "test.call" in fault


def test_a_drain_hands_it_back():
    work, fault, _ = held({}, drain)

    back = reload(work)
    assert (run_of(work).state, back.attempt, back.lease_owner) == ("queued", work.attempt, None)
    assert states_of_steps() == {"hold": "interrupted"}
    assert "test.call" in fault


def test_of_a_lost_lease_nothing_is_told():
    work, fault, _ = held({}, lose)

    assert (run_of(work).error, states_of_steps()) == (None, {"hold": "started"})
    assert "test.call" in fault
