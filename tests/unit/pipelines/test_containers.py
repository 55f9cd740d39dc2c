"""`retry` and `timeout` of steps with steps inside: what is begun anew, what is stopped, and what is found again."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from pipelines.engine.paths import shown_path
from pipelines.engine.ports import Failed, Parked, StepState, Succeeded
from tests.unit.pipelines.test_nesting import put, ran
from tests.unit.pipelines.test_parallel import breaks, slow, timed
from tests.unit.pipelines.test_waits import wait
from tests.unit.pipelines.world import START, Killed, World, answer, document, failing, permanent, transient

S, F, C = "succeeded", "failed", "canceled"
RETRY = {"max_attempts": 3, "initial": "PT1S", "backoff": "fixed"}


def told(answer):
    return [(step["path"], step["state"], step["attempt"], step["at"]) for step in answer["steps"]]


def fails(step_id, times, code="busy", error_class="transient"):
    error = {"error": {"code": code, "class": error_class}}
    return {"id": step_id, "uses": "echo", "simulate": [*[error] * times, {"output": 7}]}


BOXES: dict[str, Any] = {
    "switch": lambda *steps: {"switch": {"cases": [{"when": "true", "steps": list(steps)}]}},
    "try": lambda *steps: {"try": list(steps), "finally": [put("last")]},
    "for_each": lambda *steps: {"for_each": [1], "steps": list(steps)},
    "while": lambda *steps: {"while": "index < `1`", "max_iterations": 2, "steps": list(steps)},
    "parallel": lambda *steps: {"parallel": {"branches": {"only": list(steps)}}},
}


def box(kind, *steps, **fields):
    return {"id": "box", **fields, **BOXES[kind](*steps)}


# Retry


@pytest.mark.parametrize("kind", BOXES)
def test_a_new_attempt_begins_the_whole_body_anew(kind):
    answer = ran(document(box(kind, put("a"), fails("b", 2), retry=RETRY)))

    assert answer["state"] == "succeeded"
    names = [(path.rpartition(".")[2], *rest) for path, *rest in told(answer) if path != "last"]
    assert names == [
        ("a", S, 1, "PT0S"),
        ("b", F, 1, "PT0S"),
        ("box", F, 1, "PT0S"),
        ("a", S, 2, "PT1S"),
        ("b", F, 2, "PT1S"),
        ("box", F, 2, "PT1S"),
        ("a", S, 3, "PT2S"),
        ("b", S, 3, "PT2S"),
        ("box", S, 3, "PT2S"),
    ]


def test_what_is_inside_has_its_own_retries_in_each_body():
    inner = {**fails("b", 3), "retry": {"max_attempts": 2, "initial": "PT1S", "backoff": "fixed"}}

    answer = ran(document(box("try", inner, retry=RETRY)))

    assert [(path, state, attempt) for path, state, attempt, _ in told(answer) if path in ("b", "box")] == [
        ("b", F, 1),
        ("b", F, 2),
        ("box", F, 1),
        ("b", F, 3),
        ("b", S, 4),
        ("box", S, 2),
    ]


def test_boxes_in_boxes_multiply_and_the_error_passes_unchanged():
    written = document({**box("switch", {**box("try", fails("b", 9)), "id": "inner", "retry": RETRY}), "retry": RETRY})

    answer = ran(written)

    assert (answer["state"], answer["error"]["code"], answer["error"]["step"]) == ("failed", "busy", "b")
    assert sum(step["path"] == "b" for step in answer["steps"]) == 9


@pytest.mark.parametrize("retry", [{"max_attempts": 3}, {"max_attempts": 3, "on": ["other"]}])
def test_an_error_that_its_policy_does_not_name_is_not_tried_again(retry):
    answer = ran(document(box("try", fails("b", 1, error_class="permanent"), retry=retry)))

    assert [attempt for path, _, attempt, _ in told(answer) if path == "box"] == [1]


def test_a_tolerated_failure_comes_after_all_attempts():
    written = document(
        box("try", fails("b", 9), retry=RETRY, continue_on_error=True), outputs={"code": "${steps.box.error.code}"}
    )

    answer = ran(written)

    assert answer["outputs"] == {"code": "busy"}
    assert [attempt for path, _, attempt, _ in told(answer) if path == "box"] == [1, 2, 3]


def test_what_an_earlier_body_left_is_not_seen_by_the_next():
    """The second body fails before `b` has a result; what runs last sees that it has none."""
    body = [fails("a", 0), {**fails("b", 0)}, fails("c", 1)]
    body[0]["simulate"] = [{"output": 1}, {"error": {"code": "busy", "class": "transient"}}, {"output": 3}]
    last = {"id": "last", "set": {"a": "${steps.a}", "b": "${steps.b}"}}
    written = document({"id": "box", "retry": RETRY, "try": body, "finally": [last]})

    answer = ran(written)

    assert [step["output"] for step in answer["steps"] if step["path"] == "last"] == [
        {"a": 1, "b": 7},
        {"a": None, "b": None},
        {"a": 3, "b": 7},
    ]


def test_tools_are_told_the_same_path_in_every_body_and_entries_stand_apart():
    world = World(behaviour=failing(1, transient))
    written = document(box("for_each", {"id": "send", "uses": "send"}, retry=RETRY))

    assert asyncio.run(world.go(written)) == Succeeded({})

    assert [shown_path(call.path) for call in world.calls] == ["box[0].send"] * 2
    assert len({call.path for call in world.calls}) == 2
    assert [call.attempt for call in world.calls] == [1, 2]


def test_a_long_wait_before_the_next_attempt_parks_the_run():
    world = World(behaviour=failing(1, transient))
    written = document(box("try", {"id": "b", "uses": "fetch"}, retry={"max_attempts": 2, "initial": "PT1M"}))

    first = asyncio.run(world.go(written))
    world.instant += timedelta(minutes=1)

    assert first == Parked(START + timedelta(minutes=1), "box")
    assert asyncio.run(world.go(written)) == Succeeded({})


def test_another_attempt_of_the_run_goes_on_in_the_body_that_it_finds():
    refuse = failing(2, transient)
    world = World(behaviour=lambda call: refuse(call) if call.path.endswith("b") else answer(call))
    steps = {"id": "a", "uses": "send"}, {"id": "b", "uses": "fetch"}
    written = document(box("switch", *steps, retry={**RETRY, "max_attempts": 2}))

    first = asyncio.run(world.go(written))
    world.run_attempt = 2
    second = asyncio.run(world.go(written))

    assert isinstance(first, Failed)
    assert second == Succeeded({})
    assert [shown_path(call.path) for call in world.calls] == ["a", "b", "a", "b", "b"]


def test_the_limit_of_steps_counts_every_body_and_no_retry_takes_it():
    many = {**RETRY, "max_attempts": 50}

    answer = ran(document(box("try", put("a"), fails("b", 99), retry=many), limits={"max_steps": 9}))

    assert (answer["error"]["code"], answer["error"]["class"]) == ("max_steps", "limit")


# Time-out


@pytest.mark.parametrize("kind", BOXES)
def test_an_attempt_of_a_container_is_stopped_when_its_time_is_over(kind):
    answer = ran(document(box(kind, slow("a", 3), slow("b", 9), timeout="PT5S")))

    assert (answer["error"]["code"], answer["error"]["class"], answer["error"]["step"]) == ("timeout", "timeout", "box")
    names = [(path.rpartition(".")[2], state, at) for path, state, at in timed(answer)]
    last = [("last", S, "PT5S")] if kind == "try" else []
    assert names == [("a", S, "PT3S"), ("b", C, "PT5S"), *last, ("box", F, "PT5S")]


def test_its_own_catch_does_not_take_it_and_one_around_it_does():
    inner = {"id": "inner", "timeout": "PT5S", "try": [slow("a", 9)], "catch": [{"steps": [put("inside")]}]}
    written = document({"id": "outer", "try": [inner], "catch": [{"on": ["timeout"], "steps": [put("around")]}]})

    assert timed(ran(written)) == [("a", C, "PT5S"), ("inner", F, "PT5S"), ("around", S, "PT5S"), ("outer", S, "PT5S")]


def test_what_ends_in_time_is_not_touched():
    answer = ran(document(box("try", slow("a", 4), timeout="PT5S")))

    assert answer["state"] == "succeeded"


def test_each_attempt_has_the_whole_time():
    first_slow = {**slow("a", 4), "simulate": [{"output": 1, "delay": "PT9S"}, {"output": 2}]}

    answer = ran(document(box("try", first_slow, timeout="PT5S", retry={"max_attempts": 2, "initial": "PT1S"})))

    assert [(state, at) for path, state, at in timed(answer) if path == "box"] == [(F, "PT5S"), (S, "PT6S")]


def test_a_failure_of_what_runs_last_is_the_cause():
    written = document({"id": "box", "timeout": "PT1S", "try": [slow("a", 9)], "finally": [breaks("last", 1)]})

    error = ran(written)["error"]

    assert (error["code"], error["cause"]["code"]) == ("timeout", "broke")


def test_a_parked_container_wakes_when_its_time_is_over():
    world = World()
    written = document(box("try", wait(**{"for": "PT1H"}), timeout="PT10M"))

    first = asyncio.run(world.go(written))
    world.instant = first.until
    second = asyncio.run(world.go(written))

    assert first == Parked(START + timedelta(minutes=10), "nap")
    assert (second.error.code, second.error.step) == ("timeout", "box")
    assert world.states == [
        ("box", StepState.FAILED, 1),
        ("nap", StepState.CANCELED, 1),
        ("last", StepState.SUCCEEDED, 1),
    ]


def test_the_time_goes_on_while_the_run_is_away_and_what_had_ended_counts():
    late = World()
    written = document(box("switch", {"id": "a", "uses": "send"}, timeout="PT10M"))
    late.kill_after = 4  # the container's start, the call's intent, its result, and the end of the container
    with pytest.raises(Killed):
        asyncio.run(late.go(written))
    late.instant += timedelta(hours=1)

    assert asyncio.run(late.go(written)) == Succeeded({})


@pytest.mark.parametrize("at", [timedelta(seconds=1), timedelta(minutes=5)])
def test_a_cancellation_ends_what_is_in_it_with_what_it_runs_last(at):
    answer = ran(document(box("try", wait(**{"for": "PT1H"}), timeout="PT10M")), cancel_at=at)

    assert answer["state"] == "canceled"
    assert [(path, state) for path, state, _ in timed(answer)] == [("nap", C), ("last", S), ("box", C)]


def test_succeed_leaves_a_container_with_a_time():
    answer = ran(document(box("switch", {"id": "s", "succeed": {"outputs": {"a": 1}}}, timeout="PT1M"), put("never")))

    assert (answer["state"], answer["outputs"]) == ("succeeded", {"a": 1})


def test_a_permanent_error_is_not_hidden_by_the_time():
    world = World(behaviour=failing(1, permanent))

    outcome = asyncio.run(world.go(document(box("for_each", {"id": "a", "uses": "fetch"}, timeout="PT1M"))))

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "http_404"
