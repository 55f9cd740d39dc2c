"""Where the clock's looks begin."""

from datetime import UTC, datetime, timedelta

from scheduling.clock.horizon import Horizon

NINE = datetime(2026, 6, 1, 9, tzinfo=UTC)


class Watch:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def looked(horizon: Horizon, watch: Watch, *, kind: str = "due", takes: float = 0.0) -> datetime | None:
    with horizon.look(kind) as floor:
        watch.at += takes
    return floor


def test_looks_begin_at_the_beginning_until_one_has_found_nothing_due() -> None:
    watch = Watch()
    horizon = Horizon(now=watch)

    assert [looked(horizon, watch, takes=0.1) for _ in range(3)] == [None] * 3

    horizon.settled(NINE)
    assert looked(horizon, watch) == NINE - timedelta(seconds=1)

    horizon.settled(None)
    assert looked(horizon, watch) is None


def test_looks_from_the_beginning_take_a_twentieth_of_the_time() -> None:
    watch = Watch()
    horizon = Horizon(now=watch)
    horizon.settled(NINE)

    assert looked(horizon, watch, takes=0.1) is None
    watch.at += 1.9
    assert looked(horizon, watch) is not None
    watch.at += 0.2
    assert looked(horizon, watch, takes=0.001) is None
    watch.at += 0.03
    assert looked(horizon, watch) is None


def test_each_kind_of_look_has_its_own_turn() -> None:
    watch = Watch()
    horizon = Horizon(now=watch)
    horizon.settled(NINE)

    assert looked(horizon, watch, takes=1.0) is None
    assert looked(horizon, watch, kind="earliest", takes=1.0) is None
    assert looked(horizon, watch) is not None
