"""Near the end of the calendar: what would end after it is refused, and no simulation breaks."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.simulation import simulate
from tests.unit.pipelines.test_waits import wait
from tests.unit.pipelines.world import CATALOG, document

NOW = datetime(9995, 1, 1, tzinfo=UTC)
BUSY = {"error": {"code": "busy", "class": "transient"}}


def simulated(*steps, now=NOW):
    return simulate(document(*steps), catalog=CATALOG, now=now)


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ({"id": "w", "wait": {"for": "P3600D"}}, "/wait/for"),
        ({"id": "w", "approval": {"title": "Go?", "timeout": "P3600D"}}, "/approval/timeout"),
        ({"id": "w", "wait_for_event": {"topic": "a.b", "timeout": "P3600D"}}, "/wait_for_event/timeout"),
        ({"id": "w", "run": "other", "timeout": "P3600D"}, "/timeout"),
        ({"id": "w", "parallel": {"branches": {"a": [{"set": {}}]}}, "timeout": "P3600D"}, "/timeout"),
        ({"id": "w", "set": {}, "simulate": {"output": {}, "delay": "P3600D"}}, "/simulate"),
    ],
)
def test_what_would_end_after_the_calendar_is_a_bad_argument_of_its_step(step, place):
    error = simulated(step)["error"]

    assert (error["code"], error["step"], error["pointer"]) == ("bad_argument", "w", f"/steps/0{place}")


def test_waits_that_come_to_the_end_one_after_the_other_are_refused_there():
    loop = {"id": "l", "for_each": "${range(0, 900)}", "steps": [wait("w", **{"for": "P3600D"})]}

    assert simulated(loop, now=datetime(2026, 1, 1, tzinfo=UTC))["error"]["code"] == "bad_argument"


@pytest.mark.parametrize(
    "step",
    [
        {"approval": {"title": "Go?"}},
        {"run": "other"},
        {"wait_for_event": {"topic": "a.b", "on_timeout": "continue", "timeout": "P1D"}},
        {"wait": {"until": "9999-12-31T23:59:59.999999Z"}},
    ],
)
def test_what_says_nothing_of_its_end_or_ends_in_time_goes_on(step):
    assert simulated(step, {"set": {}})["state"] == "succeeded"


def test_an_event_for_which_nobody_has_set_a_time_is_waited_for_until_the_calendar_ends():
    assert simulated({"wait_for_event": {"topic": "a.b"}})["error"]["code"] == "timeout"


def test_no_attempt_is_due_after_the_end_of_the_calendar():
    retry = {"max_attempts": 2, "initial": "P1D", "max": "P1D"}
    now = datetime.max.replace(tzinfo=UTC) - timedelta(hours=1)

    answered = simulated({"id": "s", "uses": "test.effect", "with": {}, "retry": retry, "simulate": BUSY}, now=now)

    assert (answered["error"]["code"], len(answered["steps"])) == ("busy", 1)


def test_an_elapsed_time_past_the_end_of_the_calendar_bounds_nothing():
    retry = {"max_attempts": 2, "initial": "PT1S", "max_elapsed": "P3000D"}

    answered = simulated(
        {"id": "s", "uses": "test.effect", "with": {}, "retry": retry, "simulate": [BUSY, {"output": {}}]}
    )

    assert answered["state"] == "succeeded"
