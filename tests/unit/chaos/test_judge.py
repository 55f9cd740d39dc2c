"""The torture driver's judge can condemn: each invariant catches what is planted against it."""

from copy import deepcopy

import pytest

from tests.chaos.invariants import INVARIANTS, judge
from tests.chaos.planted import PLANTED, judge_the_judge, sound

CASES = [(name, what) for name, plants in PLANTED.items() for what in plants]


def test_a_sound_history_is_accepted():
    assert {name: said for name, said in judge(sound()).items() if said} == {}


@pytest.mark.parametrize(("name", "what"), CASES)
def test_what_is_planted_is_caught(name, what):
    history = deepcopy(sound())
    PLANTED[name][what](history)

    assert judge(history)[name]


def test_every_invariant_has_something_planted_against_it():
    assert {each.name for each in INVARIANTS} == set(PLANTED)
    assert judge_the_judge() == []
