"""The orders for the points of a worker host, without dying of them."""

import os
import signal

import pytest

from workers import points


@pytest.fixture(autouse=True)
def disarmed(monkeypatch: pytest.MonkeyPatch):
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    yield sent
    points.arm("")


def test_a_point_is_obeyed_once_and_at_the_time_that_was_named(disarmed):
    points.arm("stop:after-claim:3")
    for _ in range(6):
        points.reach("after-claim")
        points.reach("before-claim")

    assert disarmed == [(os.getpid(), signal.SIGSTOP)]


def test_a_process_may_be_stopped_before_any_statement_of_django_s_too(disarmed):
    points.arm("stop:statement:2")
    said = [points.reaching(lambda *given: given, sql, (), False, {}) for sql in ("SELECT 1", "SELECT 2")]

    assert said == [("SELECT 1", (), False, {}), ("SELECT 2", (), False, {})]
    assert disarmed == [(os.getpid(), signal.SIGSTOP)]


@pytest.mark.parametrize("order", ["after-claim", "burn:after-claim", "kill:nowhere", "kill:after-claim:soon"])
def test_an_order_that_names_nothing_is_refused(order):
    with pytest.raises(ValueError, match="is not kill: or stop:"):
        points.arm(order)
