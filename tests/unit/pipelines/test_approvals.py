"""`approval`: what is asked, what an answer makes of the run, and what happens without one."""

import asyncio
from datetime import timedelta

import pytest

from pipelines.document import DocumentInvalid, validate
from pipelines.engine.ports import Failed, Parked, QuestionKind, StepState, Succeeded
from pipelines.simulation import simulate
from tests.unit.pipelines.test_nesting import put
from tests.unit.pipelines.world import CATALOG, START, World, document

HOUR = timedelta(hours=1)
FORM = {"type": "object", "properties": {"amount": {"type": "integer", "minimum": 1}}, "required": ["amount"]}


def approval(step_id="ok", *, fields=None, **given):
    return {"id": step_id, "approval": {"title": "Send it?", **given}, **(fields or {})}


def decided(approved=True, **fields):
    return {
        "approved": approved,
        "by": "operator:ann",
        "at": "2025-01-06T06:30:00Z",
        "form": {},
        "reason": "",
        **fields,
    }


def go(world, written, **options):
    return asyncio.run(world.go(written, **options))


def test_a_run_asks_parks_and_goes_on_with_the_answer():
    world = World()
    written = document(
        approval(title="Pay ${params.n}?", detail="${params}", form=FORM, roles=["operators"], timeout="PT1H"),
        put("a"),
        outputs={"ok": "${steps.ok}"},
    )

    first = go(world, written, params={"n": 3})
    again = go(world, written, params={"n": 3})
    [begun] = world.entries
    world.answers["ok", 1] = decided(form={"amount": 5})
    last = go(world, written, params={"n": 3})

    assert first == again == Parked(START + HOUR, "ok", asked=True)
    assert begun.state is StepState.STARTED
    assert begun.question.kind is QuestionKind.APPROVAL
    assert begun.question.until == START + HOUR
    assert begun.question.asks == {"title": "Pay 3?", "detail": '{"n":3}', "roles": ["operators"], "form": FORM}
    assert world.barriers[0] is True
    given = {"approved": True, "by": "operator:ann", "at": "2025-01-06T06:30:00Z", "form": {"amount": 5}}
    assert last == Succeeded({"ok": given})
    assert world.states[0] == ("ok", StepState.SUCCEEDED, 1)


def test_without_a_time_out_the_question_has_no_end_and_the_run_parks_for_ten_years():
    world = World()

    outcome = go(world, document(approval()))

    assert outcome == Parked(START + timedelta(days=3660), "ok", asked=True)
    assert world.entries[0].question.until is None


def test_a_rejection_fails_the_step_and_says_who_and_why():
    world = World(answers={("ok", 1): decided(False, reason="too dear")})

    outcome = go(world, document(approval()))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.error_class, outcome.error.step) == ("rejected", "rejected", "ok")
    assert outcome.error.detail == "rejected by operator:ann: too dear"


def test_a_rejection_can_be_caught_by_its_class_or_tolerated():
    caught = document(
        {"id": "t", "try": [approval()], "catch": [{"on": ["rejected"], "steps": [put("no")]}]},
        outputs={"no": "${steps.no}"},
    )
    tolerated = document(approval(on_reject="continue"), outputs={"ok": "${steps.ok.approved}"})
    answers = {("ok", 1): decided(False)}

    assert isinstance(go(World(answers=dict(answers)), caught), Succeeded)
    assert go(World(answers=dict(answers)), tolerated) == Succeeded({"ok": False})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("timeout", "timeout", "nobody has decided within PT1H")),
        ({"on_timeout": "fail", "on_reject": "continue"}, ("timeout", "timeout", "nobody has decided within PT1H")),
        ({"on_timeout": "reject"}, ("rejected", "rejected", "rejected by the time-out")),
    ],
)
def test_a_time_out_fails_or_rejects(given, expected):
    world = World()
    written = document(approval(timeout="PT1H", **given))
    go(world, written)
    world.instant = START + HOUR

    outcome = go(world, written)

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.error_class, outcome.error.detail) == expected


@pytest.mark.parametrize(
    ("given", "approved"),
    [({"on_timeout": "approve"}, True), ({"on_timeout": "reject", "on_reject": "continue"}, False)],
)
def test_a_time_out_that_decides_is_nobodys_decision(given, approved):
    world = World()
    written = document(approval(timeout="PT1H", **given), outputs={"ok": "${steps.ok}"})
    go(world, written)
    world.instant = START + 2 * HOUR

    nobodys = {"approved": approved, "by": None, "at": "2025-01-06T07:00:00Z", "form": {}}
    assert go(world, written) == Succeeded({"ok": nobodys})


def test_an_answer_that_came_in_time_counts_however_late_the_run_goes_on():
    world = World()
    written = document(approval(timeout="PT1H"))
    go(world, written)
    world.answers["ok", 1] = decided()
    world.instant = START + 5 * HOUR

    assert isinstance(go(world, written), Succeeded)


def test_one_that_was_taken_up_before_the_end_asks_to_be_taken_up_again():
    """Its answers are of before: another may have come since."""

    def slow(call):
        world.instant += HOUR
        return {}

    world = World(behaviour=slow)
    branches = {"a": [approval(timeout="PT1S")], "b": [{"id": "slow", "uses": "echo"}]}
    written = document({"id": "both", "parallel": {"branches": branches}})

    assert go(world, written) == Parked(START + timedelta(seconds=1), "ok", asked=True)
    assert go(world, written).error.code == "timeout"


def test_a_retry_of_a_rejection_asks_again_as_another_attempt():
    world = World(answers={("ok", 1): decided(False)})
    retry = {"max_attempts": 2, "initial": "PT1S", "on": ["rejected"]}
    written = document(approval(fields={"retry": retry}), outputs={"by": "${steps.ok.by}"})

    first = go(world, written)
    world.answers["ok", 2] = decided(by="operator:bob")

    assert first.asked
    assert [entry.attempt for entry in world.entries if entry.question] == [2]
    assert go(world, written) == Succeeded({"by": "operator:bob"})


def test_a_question_that_was_withdrawn_is_asked_anew():
    world = World()
    written = document(approval())
    go(world, written)
    world.withdrawn = frozenset({("ok", 1)})
    again = go(world, written)
    world.answers["ok", 2] = decided()

    assert again.asked
    assert world.states == [("ok", StepState.INTERRUPTED, 1), ("ok", StepState.STARTED, 2)]
    assert isinstance(go(world, written), Succeeded)


def test_two_questions_side_by_side_are_both_out_and_the_first_that_is_over_wakes_the_run():
    world = World()
    written = document(
        {
            "id": "both",
            "parallel": {"branches": {"a": [approval("x", timeout="PT2H")], "b": [approval("y", timeout="PT1H")]}},
        }
    )

    assert go(world, written) == Parked(START + HOUR, "y", asked=True)
    assert [entry.path for entry in world.entries if entry.question] == ["x", "y"]
    world.answers["x", 1] = decided()
    assert go(world, written) == Parked(START + HOUR, "y", asked=True)
    world.answers["y", 1] = decided()
    assert isinstance(go(world, written), Succeeded)


def test_the_loser_of_a_race_takes_its_question_back():
    world = World()
    branches = {"ask": [approval(timeout="PT2H")], "nap": [{"id": "nap", "wait": {"for": "PT1H"}}]}
    written = document({"id": "race", "parallel": {"branches": branches, "mode": "any"}})
    go(world, written)
    world.instant = START + HOUR

    assert isinstance(go(world, written), Succeeded)
    assert ("ok", StepState.CANCELED, 1) in world.states


def test_a_short_time_out_parks_too_because_the_answer_comes_with_a_claim():
    assert go(World(), document(approval(timeout="PT0.5S"))).asked


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({"title": "${params.none}"}, "the title of an approval says what is to be decided, and this is empty"),
        ({"title": "${params.long}"}, "the title of an approval has at most 200 characters, and this has 201"),
        ({"detail": "${params.longer}"}, "the detail of an approval has at most 10000 characters, and this has 10001"),
    ],
)
def test_a_question_that_cannot_be_shown_is_not_put(given, detail):
    world = World()

    outcome = go(world, document(approval(**given)), params={"none": None, "long": "x" * 201, "longer": "x" * 10_001})

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.detail) == ("bad_argument", detail)
    assert outcome.error.pointer == f"/steps/0/approval/{next(iter(given))}"


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        ({"title": ""}, "/title", "invalid_value"),
        ({"title": "x" * 201}, "/title", "invalid_value"),
        ({"titel": "x"}, "/titel", "unknown_field"),
        ({"form": {"type": "array"}}, "/form", "bad_schema"),
        ({"form": {"type": "objekt"}}, "/form", "bad_schema"),
        ({"form": {"$ref": "https://example.com/schema"}}, "/form", "bad_schema"),
        ({"form": {"description": "x" * 20_000}}, "/form", "bad_schema"),
        ({"roles": []}, "/roles", "invalid_value"),
        ({"roles": "operators"}, "/roles", "wrong_type"),
        ({"timeout": "PT0S"}, "/timeout", "bad_duration"),
        ({"timeout": "soon"}, "/timeout", "bad_duration"),
        ({"timeout": "P4000D"}, "/timeout", "bad_duration"),
        ({"on_timeout": "maybe"}, "/on_timeout", "invalid_value"),
        ({"on_timeout": "approve", "timeout": "PT1H", "form": FORM}, "/on_timeout", "invalid_value"),
        ({"on_reject": "approve"}, "/on_reject", "invalid_value"),
        ({"title": "${steps.nope}"}, "/title", "unknown_step"),
    ],
)
def test_a_wrong_approval_is_refused_with_its_place(given, pointer, code):
    problems = validate(document(approval(**given)), catalog=CATALOG)

    assert [(problem.pointer, problem.code) for problem in problems] == [(f"/steps/0/approval{pointer}", code)]


def test_a_time_out_of_an_attempt_is_refused_since_it_has_its_own():
    [problem] = validate(document(approval(fields={"timeout": "PT1H"})), catalog=CATALOG)

    assert (problem.pointer, problem.code) == ("/steps/0/timeout", "not_here")


# Simulation


def simulated(*steps, **fields):
    return simulate(document(*steps, **fields), catalog=CATALOG, now=START)


def test_a_simulated_run_asks_nobody_and_is_approved():
    answer = simulated(approval(form=FORM), outputs={"ok": "${steps.ok}"})

    assert answer["state"] == "succeeded"
    assert answer["outputs"]["ok"] == {
        "approved": True,
        "by": "simulation",
        "at": "2025-01-06T06:00:00Z",
        "form": {"amount": 1},
    }
    assert answer["steps"][0]["simulated"] is True


@pytest.mark.parametrize(
    ("fixture", "state", "code", "at"),
    [
        ({"output": {"form": {"amount": 7}}, "delay": "PT30M"}, "succeeded", None, "PT30M"),
        ({"output": {"approved": False}}, "failed", "rejected", "PT0S"),
        ({"output": {"approved": False, "form": {"amount": "none"}}}, "failed", "rejected", "PT0S"),
        ({"output": {"form": {"amount": 0}}}, "failed", "output_schema", "PT0S"),
        ({"output": {"form": {}}}, "failed", "output_schema", "PT0S"),
        ({"output": "yes"}, "failed", "output_schema", "PT0S"),
        ({"output": {"approved": "yes"}}, "failed", "output_schema", "PT0S"),
        ({"output": {"form": {"amount": 7}}, "delay": "PT2H"}, "failed", "timeout", "PT1H"),
        ({"error": {"code": "gone", "class": "transient"}}, "failed", "gone", "PT0S"),
    ],
)
def test_a_fixture_decides_fills_in_the_form_or_comes_too_late(fixture, state, code, at):
    answer = simulated(approval(form=FORM, timeout="PT1H", fields={"simulate": fixture}))

    assert answer["state"] == state
    assert (answer["error"] and answer["error"]["code"]) == code
    assert answer["steps"][0]["at"] == at


def test_a_late_fixture_meets_what_the_time_out_decides():
    late = {"simulate": {"output": {"approved": False}, "delay": "PT2H"}}
    answer = simulated(approval(timeout="PT1H", on_timeout="approve", fields=late), outputs={"by": "${steps.ok.by}"})

    assert (answer["state"], answer["outputs"]) == ("succeeded", {"by": None})


def test_two_wrong_fields_are_told_at_once():
    with pytest.raises(DocumentInvalid) as caught:
        simulated(approval(timeout="soon", form={"type": "array"}))

    assert [problem.pointer for problem in caught.value.problems] == [
        "/steps/0/approval/form",
        "/steps/0/approval/timeout",
    ]
