"""The scenarios, told and killed. A trace that changes on purpose is read against the language before it is written."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from pipelines.engine.ports import Failed, StepState, Succeeded
from pipelines.simulation import simulate
from tests.property.pipelines.test_resuming import told
from tests.unit.pipelines.scenarios.documents import Scenario, scenarios
from tests.unit.pipelines.world import CATALOG, Killed, World

TABLE = dict(
    line.split(" | ") for line in Path(__file__).with_name("traces.txt").read_text(encoding="utf-8").splitlines()
)
ALL = dict(scenarios())
KILLED = {name: each for name, each in ALL.items() if each.cancel_at is None}
_WORDS = {"succeeded": "ok"}


def trace_of(answer: dict[str, Any]) -> str:
    """`path#attempt state at` of each entry, and how the run ended."""
    words = []
    for step in answer["steps"]:
        state = "tolerated" if step.get("tolerated") else _WORDS.get(step["state"], step["state"])
        number = "" if step["attempt"] == 1 else f"#{step['attempt']}"
        words.append(f"{step['path']}{number} {state} {step['at'][1:].removeprefix('T').lower()}")
    error = f" {answer['error']['code']}" if answer["error"] else ""
    return f"{'; '.join(words)} => {answer['state']}{error}"


def test_the_table_has_each_scenario_and_no_other() -> None:
    assert list(TABLE) == list(ALL)
    assert len(ALL) > 150


@pytest.mark.parametrize("name", ALL)
def test_a_scenario_goes_as_the_table_says(name: str) -> None:
    scenario = ALL[name]

    answer = simulate(scenario.document, catalog=CATALOG, cancel_at=scenario.cancel_at)

    assert trace_of(answer) == TABLE[name]


@pytest.mark.parametrize("name", KILLED)
def test_killed_at_any_entry_it_comes_to_the_same_end(name: str) -> None:
    scenario = KILLED[name]
    whole = World(simulated=True)
    expected = asyncio.run(whole.finish(scenario.document))

    for entries in range(1, len(whole.entries) + 1):
        killed = World(simulated=True, kill_after=entries)
        with contextlib.suppress(Killed):
            asyncio.run(killed.go(scenario.document))
        outcome = asyncio.run(killed.finish(scenario.document))

        _assert_nothing_ran_twice(killed)
        if _is_side_by_side(scenario):
            assert isinstance(outcome, Succeeded | Failed)
        else:
            assert _end(outcome) == _end(expected), f"killed after {entries} entries"
            assert told(killed.entries) == told(whole.entries), f"killed after {entries} entries"


def _end(outcome: Any) -> Any:
    return outcome.outputs if isinstance(outcome, Succeeded) else (outcome.error.code, outcome.error.step)


def _assert_nothing_ran_twice(world: World) -> None:
    ends = [entry.path for entry in world.entries if entry.is_finished]
    assert len(ends) == len(set(ends))
    begun = [(entry.path, entry.attempt) for entry in world.entries if entry.state is StepState.STARTED]
    assert len(begun) == len(set(begun))


def _is_side_by_side(scenario: Scenario) -> bool:
    """Which of several lines comes first may differ after a death, and so what decides."""
    return any(word in str(scenario.document) for word in ("'parallel'", "'concurrency'"))
