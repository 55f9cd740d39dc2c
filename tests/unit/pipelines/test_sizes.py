"""How large results may be, one and all of a run."""

import asyncio
from typing import Any

import pytest

from pipelines.engine.ports import Failed, Succeeded
from tests.unit.pipelines.world import Killed, World, document

MEGABYTE = 1024 * 1024


def giving(megabytes: float) -> World:
    return World(behaviour=lambda call: {"text": "x" * int(megabytes * MEGABYTE)})


def calls(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": f"s{place}", "uses": "echo", **fields} for place in range(count)]


def go(world: World, *steps: dict[str, Any], **more: Any) -> Any:
    return asyncio.run(world.go(document(*steps, **more)))


def test_all_results_of_a_run_together_have_a_limit():
    world = giving(15)

    outcome = go(world, *calls(6))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.error_class, outcome.error.step) == ("run_too_large", "limit", "s4")
    assert "67108864 are allowed" in outcome.error.detail
    assert len(world.calls) == 5


def test_what_was_made_before_a_death_counts():
    world = giving(15)
    world.kill_after = 4
    with pytest.raises(Killed):
        go(world, *calls(5))

    assert go(world, *calls(5)).error.code == "run_too_large"


def test_what_runs_last_has_some_room_left():
    last = [{"id": "told", "set": {"text": "${error.code}"}}]

    outcome = go(giving(15.9), *calls(5), **{"finally": last})

    assert (outcome.error.code, outcome.error.step) == ("run_too_large", "s4")
    assert outcome.error.cause is None


@pytest.mark.parametrize("collect", [{}, {"collect": "${length(steps.s0.text)}"}])
def test_a_loop_collects_no_more_than_a_result_may_have(collect: dict[str, Any]):
    loop = {"id": "loop", "for_each": "${[1, 2, 3]}", "steps": calls(1), **collect}

    outcome = go(giving(7), loop, outputs={"n": "${length(steps.loop)}"})

    if collect:
        assert outcome == Succeeded({"n": 3})
    else:
        assert (outcome.error.code, outcome.error.step) == ("too_large", "loop")


def test_the_size_of_what_a_failure_tolerates_is_not_counted():
    """The result that is one too many is not kept."""
    tolerant = calls(6, continue_on_error=True)

    assert go(giving(15), *tolerant, outputs={"code": "${steps.s5.error.code}"}) == Succeeded({"code": "run_too_large"})
