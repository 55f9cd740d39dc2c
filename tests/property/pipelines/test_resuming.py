"""The law of durability: killed after any journal entry and started again, a run comes to the same entries."""

import asyncio
import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.engine.ports import StepEntry, StepState, ToolCall
from pipelines.tools.base import SideEffect
from tests.unit.pipelines.world import Killed, World, answer, document, permanent, transient

TOOLS = st.sampled_from(["echo", "fetch", "send"])
FAILURES = st.sampled_from(["", "", "t", "tt", "p", "tp", "ttt"])


@st.composite
def steps(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """A step, and how its first attempts fail: t is a transient error, p a permanent one."""
    if draw(st.integers(0, 3)) == 0:
        return {"set": {"n": draw(st.integers(0, 9)), "before": "${steps}"}}, ""
    step: dict[str, Any] = {"uses": draw(TOOLS), "with": {"n": draw(st.integers(0, 9))}}
    if draw(st.booleans()):
        step["retry"] = {"max_attempts": 3, "initial": draw(st.sampled_from(["PT1S", "PT30S"]))}
    step["continue_on_error"] = draw(st.booleans())
    if draw(st.integers(0, 4)) == 0:
        step["if"] = draw(st.sampled_from(["true", "false", "params", "params.no"]))
    return step, draw(FAILURES)


def scripted(failures: list[str]):
    """Each step fails as scripted by how often it has ended so, whatever happened to the process."""
    ended: dict[str, int] = {}

    def behave(call: ToolCall) -> Any:
        script = failures[int(call.path.removeprefix("step_")) - 1]
        done = ended.get(call.path, 0)
        ended[call.path] = done + 1
        if done < len(script):
            raise transient() if script[done] == "t" else permanent()
        return answer(call)

    return behave


def told(entries: list[StepEntry]) -> list[tuple[Any, ...]]:
    """What a journal says, times and interruptions aside: those are all that a death may add."""
    last = {(entry.path, entry.attempt): entry for entry in entries}
    kept = [entry for entry in last.values() if entry.state is not StepState.INTERRUPTED]
    return [
        (entry.path, entry.state, entry.input, entry.output and _plain(entry.output), entry.tolerated) for entry in kept
    ]


def _plain(output: Any) -> Any:
    """A tolerated failure's result names its attempt, which a death before it shifts."""
    if isinstance(output, dict):
        return {key: _plain(value) for key, value in output.items() if key != "attempt"}
    return output


@settings(deadline=None, max_examples=150)
@given(written=st.lists(steps(), min_size=1, max_size=4), kill_after=st.integers(1, 9))
def test_a_run_killed_after_any_entry_ends_with_the_same_journal(written, kill_after):
    pipeline = document(*(step for step, _ in written), outputs={"steps": "${length(steps)}"})
    whole = World(behaviour=scripted([script for _, script in written]))
    killed = World(behaviour=scripted([script for _, script in written]), kill_after=kill_after)

    expected = asyncio.run(whole.finish(pipeline))
    outcome = asyncio.run(killed.finish(pipeline))

    assert type(outcome) is type(expected)
    assert told(killed.entries) == told(whole.entries)
    _assert_finished_steps_ran_once(killed)


def _assert_finished_steps_ran_once(world: World) -> None:
    ends = [entry.path for entry in world.entries if entry.is_finished]
    assert len(ends) == len(set(ends))
    effects = [call for call in world.calls if call.spec.side_effect is SideEffect.EFFECT]
    intents = [entry for entry in world.entries if entry.state is StepState.STARTED]
    assert len(effects) <= len(intents)


@st.composite
def nested(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """A document whose steps stand inside of tries and switches and run last, and how the calls of each fail."""
    scripts: list[str] = []
    boxes = iter(range(1, 1000))

    def leaf() -> dict[str, Any]:
        step, script = draw(steps())
        scripts.append(script)
        return {**step, "id": f"step_{len(scripts)}"}

    def block(depth: int) -> list[dict[str, Any]]:
        return [item(depth) for _ in range(draw(st.integers(1, 2)))]

    def item(depth: int) -> dict[str, Any]:
        kind = draw(st.sampled_from(["leaf", "try", "switch"])) if depth else "leaf"
        if kind == "leaf":
            return leaf()
        box: dict[str, Any] = {"id": f"box_{next(boxes)}", "continue_on_error": draw(st.booleans())}
        if kind == "switch":
            when = draw(st.sampled_from(["true", "false", "params.no"]))
            return {
                **box,
                "switch": {"cases": [{"when": when, "steps": block(depth - 1)}], "default": block(depth - 1)},
            }
        box |= {"try": block(depth - 1), "finally": block(depth - 1)}
        if draw(st.booleans()):
            on = draw(st.sampled_from([["transient"], ["permanent"], "*"]))
            box["catch"] = [{"on": on, "as": "err", "steps": block(depth - 1)}]
        return box

    written = document(*block(2), outputs={"steps": "${length(steps)}"})
    if draw(st.booleans()):
        written["finally"] = block(1)
    if draw(st.booleans()):
        written["on_error"] = block(1)
    return written, scripts


@settings(deadline=None, max_examples=200)
@given(drawn=nested(), kills=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_nested_steps_killed_again_and_again_end_with_the_same_journal(drawn, kills):
    written, scripts = drawn
    whole = World(behaviour=scripted(scripts))
    killed = World(behaviour=scripted(scripts))

    expected = asyncio.run(whole.finish(written))
    for entries in kills:
        killed.kill_after = len(killed.entries) + entries
        with contextlib.suppress(Killed):
            asyncio.run(killed.go(written))
    outcome = asyncio.run(killed.finish(written))

    assert type(outcome) is type(expected)
    assert told(killed.entries) == told(whole.entries)
    _assert_finished_steps_ran_once(killed)
