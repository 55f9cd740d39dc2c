"""Finding the one that stops a batch, and leaving it alone for a while."""

import itertools
from collections.abc import Sequence
from uuid import UUID, uuid4

import psycopg
import pytest

from scheduling.clock.isolation import Isolation, Search, SteppedOver

LOCKED = psycopg.errors.LockNotAvailable


def isolating(guilty: dict[int, Exception], fired: list[int], batches: list[int]) -> Isolation[int, str]:
    def fire(items: Sequence[int]) -> str:
        batches.append(len(items))
        for item in items:
            if item in guilty:
                raise guilty[item]
        fired.extend(items)
        return "fired"

    return Isolation(
        fire=fire,
        quarantine=lambda item, error: f"quarantined {item}",
        step_over=lambda item, error: f"stepped over {item}",
    )


def test_a_batch_without_trouble_is_one_transaction() -> None:
    fired: list[int] = []
    batches: list[int] = []

    assert isolating({}, fired, batches).run(range(500)) == ["fired"]
    assert batches == [500]


def test_who_is_locked_is_stepped_over_who_is_refused_is_quarantined_and_all_others_fire() -> None:
    fired: list[int] = []
    guilty = {7: LOCKED("locked"), 300: psycopg.errors.CheckViolation("no"), 301: TypeError("a mistake of ours")}

    results = isolating(guilty, fired, []).run(range(500))

    assert sorted(fired) == sorted(set(range(500)) - set(guilty))
    assert {result for result in results if result != "fired"} == {
        "stepped over 7",
        "quarantined 300",
        "stepped over 301",
    }


@pytest.mark.parametrize("error", [psycopg.OperationalError("lost"), psycopg.errors.UndefinedColumn("another release")])
def test_what_concerns_all_is_raised_at_once_and_nobody_is_blamed(error: Exception) -> None:
    batches: list[int] = []

    with pytest.raises(psycopg.Error):
        isolating({3: error}, [], batches).run(range(500))
    assert batches == [500]


def test_the_search_among_locked_schedules_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    batches: list[int] = []
    monkeypatch.setattr("scheduling.clock.isolation.time.monotonic", lambda: next(seconds))

    with pytest.raises(psycopg.errors.LockNotAvailable):
        isolating({number: LOCKED("locked") for number in range(500)}, [], batches).run(range(500))
    assert len(batches) < 20


def test_who_is_stepped_over_waits_longer_each_time_and_is_forgotten_when_it_goes_through() -> None:
    now = [0.0]
    one = uuid4()
    stepped = SteppedOver(now=lambda: now[0])

    waits: list[float | None] = []
    for _ in range(7):
        stepped.add([one])
        waits.append(stepped.seconds_to_next())
        assert stepped.now() == [one]
        now[0] += waits[-1] or 0.0
        assert stepped.now() == []
        assert stepped.knows(one)

    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    stepped.forget([one])
    assert not stepped.knows(one)


def test_one_that_another_clock_fired_meanwhile_begins_anew() -> None:
    now = [0.0]
    one = uuid4()
    stepped = SteppedOver(now=lambda: now[0])
    stepped.add([one])
    stepped.add([one])

    now[0] += 10.0
    assert stepped.now() == []
    stepped.add([one])

    assert stepped.seconds_to_next() == 1.0


def test_the_number_of_those_left_alone_is_bounded_and_old_ones_go() -> None:
    now = [0.0]
    stepped = SteppedOver(limit=10, now=lambda: now[0])

    stepped.add(UUID(int=number) for number in range(100))
    assert len(stepped) == 10
    now[0] = 3600.0
    stepped.now()

    assert len(stepped) == 0


def test_a_search_that_is_over_tries_nobody_any_more_and_gives_the_others_up_together() -> None:
    tried: list[int] = []

    def fire(items: Sequence[int]) -> str:
        tried.append(len(items))
        if 0 in items:
            raise LOCKED("locked")
        return f"fired {len(items)}"

    isolation = Isolation[int, str](
        fire=fire,
        quarantine=lambda item, error: f"quarantined {item}",
        step_over=lambda item, error: f"stepped over {item}",
        search=Search(-1.0),
        give_up=lambda items, error: f"gave up {len(items)}",
    )

    assert isolation.run(range(8)) == ["gave up 4", "gave up 4"]
    assert tried == [8]
    assert isolation.run(range(8, 10)) == ["gave up 2"]


def test_a_held_task_is_left_alone_for_a_second_each_time_and_is_no_suspect() -> None:
    now = [100.0]
    stepped_over = SteppedOver(now=lambda: now[0])
    task = uuid4()

    for _ in range(3):
        stepped_over.hold(task)
        assert (stepped_over.now(), stepped_over.leaves_alone(task), stepped_over.knows(task)) == ([task], True, False)
        assert stepped_over.seconds_to_next() == 1.0
        now[0] += 1.0
        assert (stepped_over.now(), stepped_over.leaves_alone(task)) == ([], False)


def test_who_was_waited_for_longest_ago_is_waited_for_next() -> None:
    now = [100.0]
    stepped_over = SteppedOver(now=lambda: now[0], limit=2)
    first, second, third = uuid4(), uuid4(), uuid4()
    for task in (first, second):
        stepped_over.waited_for(task)
        now[0] += 1.0

    assert sorted((first, second, third), key=stepped_over.waited_at) == [third, first, second]
    stepped_over.waited_for(third)
    assert stepped_over.waited_at(first) == 0.0
