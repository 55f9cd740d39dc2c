"""The database's clock, as a worker carries it on between answers."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.clock import DatabaseClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def monotonic(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("workers.clock.time.monotonic", lambda: now[0])
    return now


def test_time_goes_on_from_the_answer(monotonic):
    clock = DatabaseClock()
    clock.set(NOON)
    monotonic[0] += 5

    assert clock.now() == NOON + timedelta(seconds=5)


def test_an_answer_that_was_long_on_its_way_does_not_set_the_clock_back(monotonic):
    clock = DatabaseClock()
    clock.set(NOON)
    monotonic[0] += 1

    clock.set(NOON + timedelta(seconds=0.5))

    assert clock.now() == NOON + timedelta(seconds=1)


def test_a_quicker_answer_is_believed(monotonic):
    clock = DatabaseClock()
    clock.set(NOON)
    monotonic[0] += 1

    clock.set(NOON + timedelta(seconds=1.2))

    assert clock.now() == NOON + timedelta(seconds=1.2)


@pytest.mark.parametrize(("passed", "said"), [(61, 60.5), (1, -30)])
def test_old_readings_and_clocks_that_were_set_back_are_forgotten(monotonic, passed, said):
    clock = DatabaseClock()
    clock.set(NOON)
    monotonic[0] += passed

    clock.set(NOON + timedelta(seconds=said))

    assert clock.now() == NOON + timedelta(seconds=said)
