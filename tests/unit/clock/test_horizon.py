"""Where the clock's looks begin."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.clock.horizon import Horizon

NINE = datetime(2026, 6, 1, 9, tzinfo=UTC)


class World:
    """A horizon, and the clock that the test moves."""

    def __init__(self) -> None:
        self.at = 100.0
        self.horizon = Horizon(now=lambda: self.at)

    def look(self, kind: str = "due", *, takes: float = 0.0) -> datetime | None:
        with self.horizon.look(kind) as floor:
            self.at += takes
        return floor


@pytest.fixture
def settled() -> World:
    """Nothing was due at nine."""
    world = World()
    world.horizon.settled(NINE)
    return world


def test_looks_begin_at_the_beginning_until_one_has_found_nothing_due() -> None:
    world = World()

    assert [world.look(takes=0.1) for _ in range(3)] == [None] * 3

    world.horizon.settled(NINE)
    assert world.look() == NINE - timedelta(seconds=1)

    world.horizon.settled(None)
    assert world.look() is None


def test_looks_from_the_beginning_take_a_twentieth_of_the_time(settled: World) -> None:
    assert settled.look(takes=0.1) is None
    settled.at += 1.9
    assert settled.look() is not None
    settled.at += 0.2
    assert settled.look(takes=0.001) is None
    settled.at += 0.03
    assert settled.look() is None


def test_each_kind_of_look_has_its_own_turn(settled: World) -> None:
    assert settled.look(takes=1.0) is None
    assert settled.look("earliest", takes=1.0) is None
    assert settled.look() is not None


def test_a_long_look_from_the_beginning_comes_again_after_two_seconds_or_its_own_duration(settled: World) -> None:
    assert settled.look(takes=1.0) is None
    settled.at += 1.9
    assert settled.look() is not None
    settled.at += 0.2
    assert settled.look(takes=5.0) is None
    settled.at += 4.9
    assert settled.look() is not None
    settled.at += 0.2
    assert settled.look() is None


def test_a_change_that_is_told_is_looked_for_at_once_but_for_half_of_the_time_at_most(settled: World) -> None:
    assert settled.look(takes=0.5) is None
    settled.horizon.told()
    settled.at += 0.4
    assert settled.look() is not None
    settled.at += 0.2
    assert settled.look(takes=0.5) is None
    settled.at += 0.6
    assert settled.look() is not None


def test_a_change_that_is_told_during_a_look_from_the_beginning_is_looked_for_again(settled: World) -> None:
    with settled.horizon.look("due") as floor:
        settled.at += 0.5
        settled.horizon.told()
    assert floor is None
    settled.at += 0.6
    assert settled.look() is None
