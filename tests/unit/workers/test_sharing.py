"""How claims are shared: by weight between queues, in turn between agents."""

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.sharing import Shares, in_turn, last_served, quota_of

A, B, C = (UUID(int=number) for number in (1, 2, 3))
WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10), min_size=1)


@pytest.mark.parametrize(
    ("limit", "weights", "expected"),
    [
        (10, {"mail": 1, "work": 1}, {"mail": 5, "work": 5}),
        (10, {"mail": 4, "work": 1}, {"mail": 8, "work": 2}),
        (10, {"mail": 1, "work": 1, "slow": 1}, {"mail": 4, "work": 3, "slow": 3}),
        (1, {"mail": 3, "work": 1}, {"mail": 1, "work": 0}),
        (7, {"mail": 10}, {"mail": 7}),
    ],
)
def test_a_claim_is_shared_by_weight(limit, weights, expected):
    assert Shares().deal(limit, weights) == expected


def test_a_light_queue_gets_its_turn_where_every_claim_is_for_one_run():
    shares = Shares()

    given = Counter(
        name for _ in range(400) for name, count in shares.deal(1, {"heavy": 3, "light": 1}).items() if count
    )

    assert given == {"heavy": 300, "light": 100}


def test_a_queue_that_had_nothing_is_owed_nothing():
    shares = Shares()
    for _ in range(10):
        shares.deal(1, {"heavy": 10, "light": 1})
        shares.forget("light")

    assert shares.deal(2, {"heavy": 10, "light": 1}) == {"heavy": 2, "light": 0}


@given(st.integers(0, 200), WEIGHTS, st.lists(WEIGHTS, max_size=5))
def test_shares_add_up_whatever_was_dealt_before(limit, weights, before):
    shares = Shares()
    for earlier in before:
        shares.deal(7, earlier)

    dealt, divided = shares.deal(limit, weights), shares.divide(limit, weights)

    for found in (dealt, divided):
        assert sum(found.values()) == limit
        assert min(found.values()) >= 0
        assert set(found) == set(weights)


@given(WEIGHTS, st.integers(1, 20))
def test_over_many_claims_everybody_gets_what_it_weighs(weights, limit):
    shares = Shares()
    given: Counter[str] = Counter()
    for _ in range(200):
        given.update(shares.deal(limit, weights))

    for name, weight in weights.items():
        assert abs(given[name] - 200 * limit * weight / sum(weights.values())) <= 1.001


def test_runs_of_agents_are_put_in_turn_and_each_agents_keep_their_order():
    assert in_turn([(A, 1), (A, 2), (A, 3), (B, 4), (C, 5), (B, 6)]) == [1, 4, 5, 2, 6, 3]


@pytest.mark.parametrize(
    ("served", "expected"),
    [([A, B, C], C), ([A, B, C, A], A), ([B], B), ([A, B, A, B, A], A), ([A, C, A, C], C)],
)
def test_the_next_claim_goes_on_after_the_last_agent_that_was_served(served, expected):
    assert last_served(served, [A, B, C]) == expected


def test_an_agents_quota_lets_the_limit_be_reached():
    assert (quota_of(10, 3), quota_of(10, 64), quota_of(1, 1)) == (4, 1, 1)
