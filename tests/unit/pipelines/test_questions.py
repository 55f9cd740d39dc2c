"""`wait_for_event` and `run`, outside simulation: what is asked, and what an answer makes of the run, however often its
worker dies on the way."""

import asyncio
from datetime import timedelta

import pytest

from pipelines.engine.ports import Failed, Parked, QuestionKind, StepState, Succeeded
from tests.unit.pipelines.test_nesting import put
from tests.unit.pipelines.world import START, Killed, World, document

HOUR = timedelta(hours=1)
EVENT = {"id": "e1", "topic": "order.paid", "payload": {"id": 7}, "at": "2025-01-06T06:10:00Z"}


def listen(step_id="paid", *, fields=None, **given):
    return {"id": step_id, "wait_for_event": {"topic": "order.paid", **given}, **(fields or {})}


def ended(state="succeeded", **fields):
    return {"run": {"id": "r2", "state": state, "outputs": {"n": 1}, **fields}}


def go(world, written, **options):
    return asyncio.run(world.go(written, **options))


def test_an_event_is_asked_for_with_what_its_filter_reads_of_the_run():
    world = World()
    written = document(
        put("a"),
        put("b", 2),
        listen(filter="event.payload.id == params.id && steps.a.v == 1", timeout="PT1H", buffered="PT10M"),
        outputs={"paid": "${steps.paid.payload.id}"},
    )

    first = go(world, written, params={"id": 7, "other": 8})
    begun = world.entries[-1]
    world.answers["paid", 1] = {"event": EVENT}

    assert first == Parked(START + HOUR, "paid", asked=True)
    assert begun.state is StepState.STARTED
    assert world.barriers[-1] is True  # nothing waits before it is kept that it does
    question = begun.question
    assert (question.kind, question.topic, question.until) == (QuestionKind.EVENT, "order.paid", START + HOUR)
    assert question.asks["names"] == {"params": {"id": 7}, "steps": {"a": {"v": 1}}}
    assert question.asks["buffered"] == 600
    assert question.asks["pointer"] == "/steps/2/wait_for_event/filter"
    assert go(world, written, params={"id": 7}) == Succeeded({"paid": 7})


def test_a_run_is_asked_for_with_its_task_and_params():
    world = World()
    written = document(
        {"id": "pay", "run": "pay-${params.n}", "params": {"amount": "${params.n}"}, "timeout": "PT1H"},
        outputs={"pay": "${steps.pay}"},
    )

    first = go(world, written, params={"n": 3})
    question = world.entries[-1].question
    world.answers["pay", 1] = ended()

    assert first == Parked(START + HOUR, "pay", asked=True)
    assert (question.kind, question.until) == (QuestionKind.RUN, START + HOUR)
    assert question.asks == {"task": "pay-3", "params": {"amount": 3}, "waits": True, "pointer": "/steps/0"}
    assert go(world, written, params={"n": 3}) == Succeeded({"pay": {"n": 1}})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ended("failed", error={"class": "limit", "code": "x", "detail": "no"}), ("run_failed", "limit")),
        (ended("failed", error=None), ("run_failed", "permanent")),
        (ended("canceled"), ("run_canceled", "permanent")),
        (ended("skipped", skip_reason="overlap"), ("run_skipped", "transient")),
        ({"error": {"code": "unknown_task", "class": "permanent", "detail": "no"}}, ("unknown_task", "permanent")),
        ({}, ("timeout", "timeout")),
    ],
)
def test_a_run_that_did_not_succeed_fails_the_step(answer, expected):
    world = World(answers={("pay", 1): answer})

    outcome = go(world, document({"id": "pay", "run": "pay", "timeout": "PT1H"}))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.error_class) == expected
    assert outcome.error.step == "pay"


def test_a_run_that_nobody_waits_for_comes_to_its_id_whatever_becomes_of_it():
    world = World(answers={("pay", 1): ended("failed")})
    written = document({"id": "pay", "run": "pay", "wait": False}, outputs={"pay": "${steps.pay}"})

    assert go(world, written) == Succeeded({"pay": {"run_id": "r2"}})


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "timeout"), ({"on_timeout": "continue"}, None)],
)
def test_an_event_that_the_answerer_says_did_not_come(given, expected):
    world = World(answers={("paid", 1): {}})
    written = document(listen(timeout="PT1H", **given), outputs={"paid": "${steps.paid}"})

    outcome = go(world, written)

    if expected is None:
        assert outcome == Succeeded({"paid": None})
    else:
        assert outcome.error.code == expected


def test_the_engine_alone_never_says_that_no_event_has_come_in_time():
    """One may have been stored in time and not been looked at yet: only who answers knows."""
    world = World()
    written = document(listen(timeout="PT1H"), {"id": "pay", "run": "pay", "timeout": "PT1H"})
    go(world, written)
    world.instant = START + 2 * HOUR

    outcome = go(world, written)

    assert isinstance(outcome, Parked)
    assert outcome.until > world.instant


@pytest.mark.parametrize("answer", [{"event": EVENT}, {"error": {"code": "bad", "class": "permanent", "detail": "no"}}])
def test_one_answer_serves_one_turn_of_a_loop(answer):
    written = document({"id": "all", "for_each": [1, 2], "steps": [listen()]})
    world = World()
    first = go(world, written)
    world.answers["all[0].paid", 1] = answer

    second = go(world, written)

    assert first.path == "all[0].paid"
    if "error" in answer:
        assert isinstance(second, Failed)
    else:
        assert second.path == "all[1].paid"


def test_an_attempt_that_is_repeated_asks_again_and_reads_its_own_answer():
    written = document(
        {"id": "pay", "run": "pay", "retry": {"max_attempts": 2, "initial": "PT1S"}},
        outputs={"pay": "${steps.pay}"},
    )
    world = World()
    go(world, written)
    world.answers["pay", 1] = ended("skipped")

    outcome = go(world, written)
    world.answers["pay", 2] = ended()

    assert isinstance(outcome, Parked)
    assert outcome.asked
    assert [entry.attempt for entry in world.entries if entry.question] == [1, 2]
    assert go(world, written) == Succeeded({"pay": {"n": 1}})


WHOLE = document(
    {"id": "first", "uses": "fetch", "with": {"n": 1}},
    listen(filter="event.payload.id == steps.first.n"),
    {"id": "both", "parallel": {"branches": {"a": [{"id": "pay", "run": "pay"}], "b": [listen("other")]}}},
    {"id": "last", "uses": "fetch", "with": {"n": "${steps.paid.payload.id}"}},
    outputs={"last": "${steps.last.n}", "other": "${steps.other.payload.id}", "pay": "${steps.pay.n}"},
)
ANSWERS = {("paid", 1): {"event": EVENT}, ("pay", 1): ended(), ("other", 1): {"event": EVENT}}


def end_of(world, written):
    """Go on to the end; a question is answered once the run has parked over it, and everything else by then."""
    for _ in range(100):
        try:
            outcome = go(world, written)
        except Killed:
            continue
        if not isinstance(outcome, Parked):
            return outcome
        asked = {(entry.path, entry.attempt) for entry in world.entries if entry.question is not None}
        world.answers |= {key: ANSWERS[key] for key in asked}
    raise AssertionError("the run does not end")


def test_killed_after_any_entry_it_ends_alike_and_asks_each_question_once():
    whole = World()
    expected = end_of(whole, WHOLE)
    assert expected == Succeeded({"last": 7, "other": 7, "pay": 1})

    for kept in range(1, len(whole.entries) + 1):
        world = World(kill_after=kept)

        assert end_of(world, WHOLE) == expected
        assert world.kill_after is None
        assert len(world.calls) <= len(whole.calls) + 1
        asked = [(entry.path, entry.attempt) for entry in world.entries if entry.question is not None]
        assert sorted(set(asked)) == sorted(ANSWERS)
        names = {repr(entry.question) for entry in world.entries if entry.question and entry.path == "paid"}
        assert len(names) <= 2  # asked, and perhaps asked again by one that read itself back
