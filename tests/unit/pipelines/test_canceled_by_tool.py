"""A tool that cancels the asyncio task that it runs in: its step has failed, and all else goes on by the rules."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.engine.ports import Failed, StepState, Succeeded, ToolCall
from pipelines.errors import ErrorClass
from pipelines.tools.invoke import ToolInvoker
from pipelines.tools.isolation import Isolation
from pipelines.tools.registry import ToolCatalog
from tests.unit.pipelines.world import CATALOG, START, World, document

CODE = "canceled_by_tool"


def cancel_own_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def and_waits(context: Any, /, **_: Any) -> None:
    cancel_own_task()
    await asyncio.Event().wait()


async def and_returns(context: Any, /, **_: Any) -> dict[str, Any]:
    """The cancellation would come at whatever is awaited next."""
    cancel_own_task()
    return {}


async def and_has_a_loop_that_ends(context: Any, /, **_: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait())
        cancel_own_task()


def in_a_loop_of_its_own(context: Any, /, **_: Any) -> None:
    """A synchronous tool, in a thread."""
    asyncio.run(and_waits(None))


WAYS = [and_waits, and_returns, and_has_a_loop_that_ends, in_a_loop_of_its_own]


@dataclass
class Calling(World):
    """Calls tools as a worker does: `send` cancels its own task, `way` says how, and the others answer."""

    way: Callable[..., Any] = and_waits
    wait: float = 20.0

    async def invoke(self, call: ToolCall) -> Any:
        if call.spec.name != "send":
            return await super().invoke(call)
        self.calls.append(call)
        spec = replace(call.spec, call=self.way, trusted=not asyncio.iscoroutinefunction(self.way))
        async with Isolation(size=1) as isolation:
            invoker = ToolInvoker(ToolCatalog([spec]), isolation, run_id="r1", task_id="t1", now=START)
            return await invoker(replace(call, timeout=timedelta(seconds=self.wait)))


def send(step_id: str = "send", **fields: Any) -> dict[str, Any]:
    return {"id": step_id, "uses": "send", "with": {}, **fields}


def put(step_id: str, value: Any = 1) -> dict[str, Any]:
    return {"id": step_id, "set": {"v": value}}


def paths(world: World) -> list[tuple[str, str]]:
    return [(path, str(state)) for path, state, _ in world.states]


@pytest.mark.parametrize("way", WAYS)
def test_it_fails_its_step_and_what_runs_last_runs(run, way):
    world = Calling(way=way)

    outcome = run(world.go(document(send(), put("never"), **{"finally": [put("tidy", "${error.code}")]})))

    assert isinstance(outcome, Failed)
    error = outcome.error
    assert (error.code, error.error_class, error.step) == (CODE, ErrorClass.PERMANENT, "send")
    assert "raise" in error.detail
    assert paths(world) == [("send", "failed"), ("tidy", "succeeded")]
    assert world.output("tidy") == {"v": CODE}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_caught_as_any_failure_and_each_finally_runs(run, way):
    guarded = {
        "id": "guard",
        "try": [send()],
        "catch": [{"on": [CODE], "as": "err", "steps": [put("seen", "${err.class}")]}],
        "finally": [put("tidy")],
    }
    world = Calling(way=way)

    outcome = run(world.go(document(guarded, put("next"), **{"finally": [put("last")]})))

    assert isinstance(outcome, Succeeded)
    assert [path for path, _ in paths(world)] == ["send", "seen", "tidy", "guard", "next", "last"]
    assert world.output("seen") == {"v": "permanent"}


@pytest.mark.parametrize("way", WAYS)
def test_in_a_branch_it_stops_the_others_as_any_failure_does(run, way):
    other = {"id": "guard", "try": [{"id": "nap", "wait": {"for": "PT1S"}}], "finally": [put("tidy")]}
    world = Sleeping(way=way)

    outcome = run(
        world.go(document({"id": "both", "parallel": {"branches": {"a": [send()], "b": [other]}}}, put("never")))
    )

    assert isinstance(outcome, Failed)
    assert outcome.error.code == CODE
    assert sorted(paths(world)) == [
        ("both", "failed"),
        ("guard", "canceled"),
        ("nap", "canceled"),
        ("send", "failed"),
        ("tidy", "succeeded"),
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("concurrency", [1, 3])
def test_in_a_loop_it_is_one_failure_of_those_that_may_be(run, way, concurrency):
    loop = {
        "id": "each",
        "for_each": [1, 2, 3],
        "concurrency": concurrency,
        "max_failures": 1,
        "steps": [send("risky", **{"if": "item == `2`"}), put("done", "${item}")],
    }
    world = Calling(way=way)

    outcome = run(world.go({**document(loop), "outputs": {"of": "${steps.each}"}}))

    assert isinstance(outcome, Succeeded)
    first, second, third = outcome.outputs["of"]
    assert (first, second["error"]["code"], third) == ({"v": 1}, CODE, {"v": 3})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("on", "tries"), [(["transient", "timeout"], 1), ([CODE], 3), (["permanent"], 3)])
def test_a_retry_takes_it_where_it_takes_what_is_permanent(run, way, on, tries):
    world = Calling(way=way)
    retry = {"max_attempts": 3, "initial": "PT1S", "jitter": False, "on": on}

    run(world.go(document(send(retry=retry))))

    assert len(world.calls) == tries


@pytest.mark.parametrize("way", WAYS)
def test_it_is_tolerated_and_told_to_on_error(run, way):
    world = Calling(way=way)

    outcome = run(
        world.go(
            document(send("first", continue_on_error=True), send("second"), on_error=[put("told", "${error.step}")])
        )
    )

    assert isinstance(outcome, Failed)
    assert paths(world) == [("first", "failed"), ("second", "failed"), ("told", "succeeded")]
    assert world.output("told") == {"v": "second"}


def test_a_cancellation_that_comes_beside_its_own_is_the_runs():
    async def both(context: Any, /, **_: Any) -> None:
        assert run_task is not None
        run_task.cancel()
        cancel_own_task()
        await asyncio.Event().wait()

    async def cancel() -> World:
        nonlocal run_task
        world = Calling(way=both)
        run_task = asyncio.ensure_future(world.go(document(send(), put("never"))))
        with pytest.raises(asyncio.CancelledError):
            await run_task
        return world

    run_task: asyncio.Task[Any] | None = None
    world = asyncio.run(cancel())

    assert StepState.FAILED not in [state for _, state, _ in world.states]


def test_one_whose_time_is_over_at_the_same_instant_has_timed_out(run):
    async def late(context: Any, /, **_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancel_own_task()

    world = Calling(way=late, wait=0.05)

    outcome = run(world.go(document(send())))

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "timeout"


@pytest.mark.parametrize("way", [and_waits, and_returns, lambda *_, **__: cancel_own_task()])
def test_one_that_does_so_when_it_is_simulated_fails_its_simulated_step(run, way):
    world = World(simulated=True)
    echo = CATALOG.get("echo")
    assert echo is not None
    simulated = ToolCatalog([replace(echo, simulate=way)])

    outcome = run(world.go(document({"id": "x", "uses": "echo"}, **{"finally": [put("tidy")]}), catalog=simulated))

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "simulation_failed"
    assert paths(world) == [("x", "failed"), ("tidy", "succeeded")]


@dataclass
class Sleeping(Calling):
    """Sleeps for ever, so that a branch is still there when another ends."""

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.Event().wait()
