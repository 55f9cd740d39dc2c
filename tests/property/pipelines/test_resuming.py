"""The law of durability: killed after any journal entry and started again, a run comes to the same entries."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.engine.ports import StepEntry, StepState, ToolCall
from pipelines.tools.base import SideEffect
from tests.effort import examples
from tests.unit.pipelines.world import Killed, World, answer, document, permanent, transient

TOOLS = st.sampled_from(["echo", "fetch", "send"])
FAILURES = st.sampled_from(["", "", "t", "tt", "p", "tp", "ttt"])


@st.composite
def steps(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """A step, and how its first attempts fail: t is a transient error, p a permanent one."""
    match draw(st.integers(0, 5)):
        case 0:
            return {"set": {"n": draw(st.integers(0, 9)), "before": "${length(steps)}"}}, ""
        case 1:
            return {"wait": {"for": draw(st.sampled_from(["PT0S", "PT1S", "PT30S"]))}}, ""
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
        script = failures[int(call.path.rpartition("step_")[2]) - 1]
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
        (entry.path, entry.state, entry.tolerated, *(() if entry.kind == "wait" else _values(entry))) for entry in kept
    ]


def _values(entry: StepEntry) -> tuple[Any, Any]:
    return entry.input, entry.output and _plain(entry.output)


def _plain(output: Any) -> Any:
    """A tolerated failure's result names its attempt, which a death before it shifts."""
    if isinstance(output, dict):
        return {key: _plain(value) for key, value in output.items() if key != "attempt"}
    return [_plain(value) for value in output] if isinstance(output, list) else output


@settings(deadline=None, max_examples=examples(150))
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


class Nesting:
    """Draws steps that stand inside of others, some of them `side_by_side`, and how the calls of each leaf fail."""

    def __init__(self, draw: st.DrawFn, *, side_by_side: bool = False) -> None:
        self.draw = draw
        self.side_by_side = side_by_side
        self.scripts: list[str] = []
        self._boxes = itertools.count(1)

    def block(self, depth: int) -> list[dict[str, Any]]:
        return [self._item(depth) for _ in range(self.draw(st.integers(1, 2)))]

    def _item(self, depth: int) -> dict[str, Any]:
        kinds: list[Callable[[int], dict[str, Any]]] = [self._leaf]
        if depth:
            kinds += [self._switch, self._for_each, self._while, self._try]
        if depth and self.side_by_side:
            kinds += [self._parallel, self._parallel]
        return self.draw(st.sampled_from(kinds))(depth - 1)

    def _leaf(self, _: int) -> dict[str, Any]:
        step, script = self.draw(steps())
        self.scripts.append(script)
        return {**step, "id": f"step_{len(self.scripts)}"}

    def _box(self) -> dict[str, Any]:
        box: dict[str, Any] = {"id": f"box_{next(self._boxes)}", "continue_on_error": self.draw(st.booleans())}
        if self.draw(st.integers(0, 3)) == 0:
            box["retry"] = {"max_attempts": 2, "initial": self.draw(st.sampled_from(["PT1S", "PT30S"]))}
        if self.draw(st.integers(0, 5)) == 0:
            box["timeout"] = "P1D"  # never over: when a death delays what is in it, nothing else changes
        return box

    def _switch(self, depth: int) -> dict[str, Any]:
        when = self.draw(st.sampled_from(["true", "false", "params.no"]))
        cases = [{"when": when, "steps": self.block(depth)}]
        return {**self._box(), "switch": {"cases": cases, "default": self.block(depth)}}

    def _for_each(self, depth: int) -> dict[str, Any]:
        items = self.draw(st.lists(st.integers(0, 3), max_size=3))
        most = {"max_failures": self.draw(st.integers(0, 2)), "collect": "${[item, index, steps]}"}
        if self.side_by_side:
            most["concurrency"] = self.draw(st.integers(1, 3))
        return {**self._box(), **most, "for_each": items, "steps": self.block(depth)}

    def _parallel(self, depth: int) -> dict[str, Any]:
        branches = {name: self.block(depth) for name in ("one", "two", "three")[: self.draw(st.integers(1, 3))]}
        mode = self.draw(st.sampled_from(["all", "any"]))
        return {**self._box(), "parallel": {"branches": branches, "mode": mode}}

    def _while(self, depth: int) -> dict[str, Any]:
        bound = {"max_iterations": self.draw(st.integers(1, 3))}
        return {**self._box(), **bound, "while": "index < `2` && length(steps) < `9`", "steps": self.block(depth)}

    def _try(self, depth: int) -> dict[str, Any]:
        box = {**self._box(), "try": self.block(depth), "finally": self.block(depth)}
        if self.draw(st.booleans()):
            on = self.draw(st.sampled_from([["transient"], ["permanent"], "*"]))
            box["catch"] = [{"on": on, "as": "err", "steps": self.block(depth)}]
        return box


@st.composite
def nested(draw: st.DrawFn, *, side_by_side: bool = False) -> tuple[dict[str, Any], list[str]]:
    """A document whose steps stand inside of others and run last, and how the calls of each fail."""
    nesting = Nesting(draw, side_by_side=side_by_side)
    written = document(*nesting.block(2), outputs={"steps": "${length(steps)}"})
    for section in ("finally", "on_error"):
        if draw(st.booleans()):
            written[section] = nesting.block(1)
    return written, nesting.scripts


def whole_and_killed(written: dict[str, Any], scripts: list[str], kills: list[int]) -> tuple[World, World]:
    """The same document run without a death and with some, which come to the same kind of end."""
    whole = World(behaviour=scripted(scripts))
    killed = World(behaviour=scripted(scripts))

    expected = asyncio.run(whole.finish(written))
    for entries in kills:
        killed.kill_after = len(killed.entries) + entries
        with contextlib.suppress(Killed):
            asyncio.run(killed.go(written))
    outcome = asyncio.run(killed.finish(written))

    assert type(outcome) is type(expected)
    return whole, killed


@settings(deadline=None, max_examples=examples(200))
@given(drawn=nested(), kills=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_nested_steps_killed_again_and_again_end_with_the_same_journal(drawn, kills):
    written, scripts = drawn
    whole, killed = whole_and_killed(written, scripts, kills)

    assert told(killed.entries) == told(whole.entries)
    _assert_finished_steps_ran_once(killed)


@settings(deadline=None, max_examples=examples(200))
@given(drawn=nested(side_by_side=True), kills=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_branches_killed_again_and_again_come_to_the_same_end(drawn, kills):
    """Which of several comes first may differ; whether all or any succeed may not, and nothing is done twice."""
    written, scripts = drawn
    _, killed = whole_and_killed(written, scripts, kills)

    _assert_finished_steps_ran_once(killed)
    _assert_nothing_starts_behind_what_has_ended(killed.entries)


def _assert_nothing_starts_behind_what_has_ended(entries: list[StepEntry]) -> None:
    """What was stopped for a container's result comes to its end before that result, and is not begun anew."""
    ends: dict[str, int] = {}
    for place, entry in enumerate(entries):
        if entry.is_finished:
            ends[entry.path] = place
        assert entry.path not in ends or ends[entry.path] == place, f"{entry.path} goes on after its end"
