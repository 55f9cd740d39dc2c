"""A call whose end nobody knows, and whose tool wants a person to be asked."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from pipelines.document.limits import MAX_WAIT
from pipelines.engine.ports import Failed, Parked, QuestionKind, StepState, Succeeded
from tests.unit.pipelines.world import START, Killed, World, document

TRANSFER = {"id": "pay", "uses": "transfer", "with": {"n": 1}}


def go(world: World, written: dict[str, Any]) -> Any:
    return asyncio.run(world.go(written))


def lost(written: dict[str, Any]) -> World:
    """The worker of a run of the document died in its first call."""
    world = World(kill_after=1)
    with pytest.raises(Killed):
        go(world, written)
    return world


def decided(approved: bool, **more: Any) -> dict[str, Any]:
    return {"approved": approved, "by": "operator:ann", "at": "2025-01-06T06:30:00Z", "form": {}, **more}


def test_somebody_is_asked_and_the_run_waits_for_it():
    written = document(TRANSFER, outputs={"n": "${steps.pay.n}"})
    world = lost(written)

    first, again = go(world, written), go(world, written)

    assert first == again == Parked(START + MAX_WAIT, "pay", asked=True)
    assert world.calls == []
    begun = world.entries[-1]
    assert (begun.state, begun.attempt, begun.question.kind) == (StepState.STARTED, 1, QuestionKind.APPROVAL)
    assert begun.question.until is None
    assert begun.question.asks["title"] == "Call transfer again?"
    assert "the step pay called transfer" in begun.question.asks["detail"]


def test_approved_it_is_called_again_with_the_same_key():
    written = document(TRANSFER, outputs={"n": "${steps.pay.n}"})
    world = lost(written)
    go(world, written)
    world.answers["pay", 1] = decided(True)

    assert go(world, written) == Succeeded({"n": 1})
    assert world.states == [("pay", StepState.INTERRUPTED, 1), ("pay", StepState.SUCCEEDED, 2)]
    assert len(world.calls) == 1


@pytest.mark.parametrize("reason", ["", "it came through"])
def test_rejected_it_fails_in_doubt(reason: str):
    world = lost(document(TRANSFER))
    go(world, document(TRANSFER))
    world.answers["pay", 1] = decided(False, reason=reason)

    outcome = go(world, document(TRANSFER))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.step, outcome.error.attempt) == ("in_doubt", "pay", 1)
    assert "operator:ann had it not called again" in outcome.error.detail
    assert outcome.error.detail.endswith(reason)
    assert world.states == [("pay", StepState.FAILED, 1)]
    assert world.calls == []


def test_what_was_withdrawn_is_asked_anew():
    """The run was canceled while it waited, and somebody redrove it."""
    world = lost(document(TRANSFER))
    go(world, document(TRANSFER))
    world.withdrawn = frozenset({("pay", 1)})

    again = go(world, document(TRANSFER))
    world.answers["pay", 2] = decided(True)

    assert again.asked
    assert world.states == [("pay", StepState.INTERRUPTED, 1), ("pay", StepState.STARTED, 2)]
    assert isinstance(go(world, document(TRANSFER)), Succeeded)
    assert world.states[-1] == ("pay", StepState.SUCCEEDED, 3)


def test_nobody_says_for_as_long_as_a_wait_may_be():
    world = lost(document(TRANSFER))
    go(world, document(TRANSFER))
    world.instant = START + MAX_WAIT + timedelta(seconds=1)

    assert go(world, document(TRANSFER)).error.code == "in_doubt"


def test_a_branch_that_is_stopped_takes_its_question_back():
    branches = {"a": [TRANSFER], "b": [{"id": "quick", "wait": {"for": "PT1H"}}]}
    written = document({"id": "race", "parallel": {"mode": "any", "branches": branches}})
    world = lost(written)
    go(world, written)
    assert [entry.path for entry in world.entries if entry.question] == ["pay"]
    world.instant = START + timedelta(hours=2)

    assert isinstance(go(world, written), Succeeded)
    assert ("pay", StepState.CANCELED, 1) in world.states
