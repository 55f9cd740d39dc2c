"""What `/readyz` of a clock answers."""

from datetime import timedelta
from typing import Any

import pytest

from scheduling.clock.faults import Fault
from scheduling.clock.readiness import Readiness


@pytest.fixture(autouse=True)
def budget(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_PASS_BUDGET = timedelta(seconds=5)


def test_ready_from_the_first_pass_until_it_is_older_than_its_budget() -> None:
    now = [100.0]
    readiness = Readiness(boottime=lambda: now[0])

    assert readiness.answer()[0] is False
    readiness.passed()
    now[0] += 5
    assert readiness.answer()[0] is True
    now[0] += 0.5
    is_ready, told = readiness.answer()

    assert is_ready is False
    assert (told["last_pass_seconds_ago"], told["budget_seconds"]) == (5.5, 5.0)


def test_a_host_that_slept_is_late_until_a_pass_has_succeeded() -> None:
    now = [100.0]
    readiness = Readiness(boottime=lambda: now[0])
    readiness.passed()

    now[0] += 8 * 3600  # the boot clock goes on while the host sleeps
    assert readiness.answer()[0] is False
    readiness.passed()

    assert readiness.answer()[0] is True


@pytest.mark.parametrize(
    ("fault", "waited", "database"),
    [
        (None, 0.0, "unknown"),
        (None, 6.0, "silent"),
        (Fault.CONNECTION, 0.0, "down"),
        (Fault.SERVER, 0.0, "down"),
        (Fault.LOCK_TIMEOUT, 6.0, "ok"),
    ],
)
def test_it_says_how_the_database_is(fault: Fault | None, waited: float, database: str) -> None:
    now = [100.0]
    readiness = Readiness(boottime=lambda: now[0])
    if fault is not None:
        readiness.failed(fault)
    now[0] += waited

    assert readiness.answer()[1]["database"] == database


def test_failures_are_told_until_a_pass_succeeds() -> None:
    readiness = Readiness()
    readiness.failed(Fault.LOCK_TIMEOUT)
    readiness.failed(Fault.LOCK_TIMEOUT)
    readiness.measured(-1.23456)

    told = readiness.answer()[1]
    assert (told["failures"], told["last_failure"], told["skew_seconds"]) == (2, "lock_timeout", -1.235)
    assert readiness.passed() == 2
    assert readiness.answer()[1]["failures"] == 0
