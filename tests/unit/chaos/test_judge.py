"""The torture driver's judge can condemn: each invariant catches what is planted against it."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.chaos.history import Action
from tests.chaos.invariants import INVARIANTS, judge
from tests.chaos.planted import PLANTED, call_of_a_former_holder, judge_the_judge, sound

CASES = [(name, what) for name, plants in PLANTED.items() for what in plants]


def test_a_sound_history_is_accepted():
    assert {name: said for name, said in judge(sound()).items() if said} == {}


@pytest.mark.parametrize(("name", "what"), CASES)
def test_what_is_planted_is_caught(name, what):
    history = deepcopy(sound())
    PLANTED[name][what](history)

    assert judge(history)[name]


@pytest.mark.parametrize(("at", "is_accepted"), [(3.05, True), (6.1, True), (6.3, False)])
def test_a_former_holder_may_be_late_up_to_its_bound(at, is_accepted):
    """3 s after its loss, and what the driver allows; the success of the step it calls was committed meanwhile."""
    history = deepcopy(sound())
    call_of_a_former_holder(history, at=at)

    verdict = judge(history)

    assert (verdict["finished steps stay finished"] == []) is is_accepted
    assert (verdict["zombies stop in time"] == []) is is_accepted


def test_time_in_which_a_former_holder_stood_still_is_not_counted():
    history = deepcopy(sound())
    call_of_a_former_holder(history, at=60)
    lost_at = history.changes[2].at.timestamp()
    history.stood_still = [(72, lost_at, lost_at + 57)]

    assert {name: said for name, said in judge(history).items() if said} == {}


@pytest.mark.parametrize("actor", ["agent", "operator"])
def test_what_an_operator_does_is_held_against_the_trail_as_what_an_agent_does(actor):
    history = deepcopy(sound())
    history.actions = [replace(action, actor=actor) for action in history.actions]
    history.audits = [replace(audit, actor_kind=actor) for audit in history.audits]

    assert judge(history)["everything is in the audit trail"] == []


@pytest.mark.parametrize(("step", "is_accepted"), [("s1", False), (None, True)])
def test_a_redriven_run_that_no_step_has_failed_has_nothing_to_try_again(step, is_accepted):
    """Its workers died, and none had come to write a step down."""
    history = deepcopy(sound())
    reply = {"id": "r1", "error": {"code": "quarantined", "step": step}}
    deed = Action(request="q2", action="run.retry", must_change=False, status=202, reply=reply)
    history = replace(history, actions=[*history.actions, deed])

    assert (judge(history)["a redrive tries again"] == []) is is_accepted


@pytest.mark.parametrize(("attempt", "is_accepted"), [(1, False), (2, True)])
def test_a_container_that_is_tried_again_begins_its_steps_anew(attempt, is_accepted):
    history = deepcopy(sound())
    history.steps = [*history.steps, replace(history.steps[0], path="both~2.s0", attempt=2)]
    history.ledger = [replace(line, kind="slow") for line in history.ledger]
    later = [replace(line, at=line.at + 5, attempt=attempt) for line in history.ledger]
    history.ledger = [*history.ledger, *later]

    verdict = judge(history)

    assert (verdict["finished steps stay finished"] == []) is is_accepted
    assert (verdict["at least once"] == []) is is_accepted


def test_every_invariant_has_something_planted_against_it():
    assert {each.name for each in INVARIANTS} == set(PLANTED)
    assert judge_the_judge() == []


@pytest.mark.parametrize(("given_back", "is_accepted"), [(10.2, True), (10.6, True), (13.0, False), (None, False)])
def test_a_token_that_is_given_back_is_another_start(given_back, is_accepted):
    """However full its bucket was a moment before; a claim is dated to its transaction's beginning, so a token that
    comes back a little later may be its own."""
    history = deepcopy(sound())
    claim = replace(history.changes[2], key=None, task=None, queue="one", is_exclusive=False)
    history.rates = {"one": (1.0, 1.0)}
    starts = [claim.at + timedelta(seconds=at) for at in (10.0, 10.3)]
    history.changes = [
        replace(claim, id=30 + number, run=f"q{number}", at=at, claimed_at=at) for number, at in enumerate(starts)
    ]
    if given_back is not None:
        at = claim.at + timedelta(seconds=given_back)
        history.changes.append(replace(claim, id=40, run="q0", at=at, owner=None, was_owner="b1", claimed_at=None))

    assert (judge(history)["a rate is kept"] == []) == is_accepted
