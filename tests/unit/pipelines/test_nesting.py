"""Steps inside of steps: which run, what they see, and what becomes of errors."""

import pytest

from pipelines.document import Severity, validate
from pipelines.engine.ports import Failed, Succeeded
from pipelines.simulation import simulate
from tests.unit.pipelines.world import CATALOG, World, document, failing, permanent, transient


def put(step_id, value=1, **fields):
    return {"id": step_id, "set": {"v": value}, **fields}


def boom(step_id="boom", code="broke", **fields):
    return {"id": step_id, "fail": {"code": code, "message": "no", **fields}}


def attempt(*steps, **fields):
    return {"id": "t", "try": list(steps), **fields}


def clause(*steps, **fields):
    return {"steps": list(steps), **fields}


def switch(*cases, **fields):
    return {"id": "sw", "switch": {"cases": [{"when": when, "steps": steps} for when, *steps in cases], **fields}}


def trace(answer):
    return [f"{step['path']} {step['state']}" for step in answer["steps"]]


def ran(written, **options):
    return simulate(written, catalog=CATALOG, **options)


S, F = "succeeded", "failed"
LAST = {"id": "last", "set": {"error": "${error.code}"}}


@pytest.mark.parametrize(
    ("written", "state", "steps", "output"),
    [
        (document(switch(("true", put("a")), ("true", put("b")))), S, ["a succeeded", "sw succeeded"], {"case": 0}),
        (document(switch(("false", put("a")), ("1", put("b")))), S, ["b succeeded", "sw succeeded"], {"case": 1}),
        (
            document(switch(("null", put("a")), default=[put("d")])),
            S,
            ["d succeeded", "sw succeeded"],
            {"case": "default"},
        ),
        (document(switch(("null", put("a")))), S, ["sw succeeded"], {"case": None}),
        (
            document(switch(("true", switch(("true", put("a"))) | {"id": "inner"}))),
            S,
            ["a succeeded", "inner succeeded", "sw succeeded"],
            {"case": 0},
        ),
        (document(switch(("true", boom()))), F, ["boom failed", "sw failed"], None),
        (
            document(switch(("true", boom())) | {"continue_on_error": True}),
            S,
            ["boom failed", "sw failed"],
            None,
        ),
        (document(switch(("true", put("a"))) | {"if": "false"}), S, ["sw skipped"], None),
        (
            document(attempt(put("a"), catch=[clause(put("c"))])),
            S,
            ["a succeeded", "t succeeded"],
            {"caught": None},
        ),
        (
            document(attempt(boom(), put("a"), catch=[clause(put("c"))])),
            S,
            ["boom failed", "c succeeded", "t succeeded"],
            {"caught": "broke"},
        ),
        (
            document(attempt(boom(), catch=[clause(put("c"), on=["other"]), clause(put("d"), on=["broke"])])),
            S,
            ["boom failed", "d succeeded", "t succeeded"],
            {"caught": "broke"},
        ),
        (
            document(attempt(boom(**{"class": "transient"}), catch=[clause(put("c"), on=["transient"])])),
            S,
            ["boom failed", "c succeeded", "t succeeded"],
            {"caught": "broke"},
        ),
        (
            document(attempt(boom(), catch=[clause(put("c"), on=["timeout"])])),
            F,
            ["boom failed", "t failed"],
            None,
        ),
        (
            document(attempt(boom(), catch=[clause(boom("again", "worse"))], **{"finally": [LAST]})),
            F,
            ["boom failed", "again failed", "last succeeded", "t failed"],
            None,
        ),
        (
            document(attempt(put("a"), **{"finally": [LAST]})),
            S,
            ["a succeeded", "last succeeded", "t succeeded"],
            {"caught": None},
        ),
        (
            document(attempt(boom(), **{"finally": [LAST]})),
            F,
            ["boom failed", "last succeeded", "t failed"],
            None,
        ),
        (
            document(attempt(put("a"), {"id": "end", "succeed": {}}, put("b"), **{"finally": [LAST]}), put("after")),
            S,
            ["a succeeded", "end succeeded", "last succeeded"],
            None,
        ),
        (document(boom(), on_error=[LAST]), F, ["boom failed", "last succeeded"], None),
        (document(put("a"), on_error=[LAST]), S, ["a succeeded"], None),
        (document(put("a"), **{"finally": [LAST]}), S, ["a succeeded", "last succeeded"], None),
        (
            document(boom(), on_error=[put("e")], **{"finally": [LAST]}),
            F,
            ["boom failed", "e succeeded", "last succeeded"],
            None,
        ),
        (
            document({"id": "end", "succeed": {}}, put("b"), **{"finally": [LAST]}),
            S,
            ["end succeeded", "last succeeded"],
            None,
        ),
    ],
)
def test_which_steps_run_and_how_they_end(written, state, steps, output):
    answer = ran(written)

    assert (answer["state"], trace(answer)) == (state, steps)
    container = next((step for step in answer["steps"] if step["path"] in ("sw", "t")), None)
    if output is not None:
        assert container["output"] == output


def test_a_caught_error_has_its_name_in_the_clause_and_nowhere_else():
    catch = [clause({"id": "c", "set": {"code": "${err.code}", "at": "${err.step}"}}, **{"as": "err"})]

    answer = ran(document(attempt(boom(), catch=catch), outputs={"seen": "${steps.c}", "failed": "${steps.boom}"}))
    wrong = document(attempt(boom(), catch=catch), {"set": {"x": "${err.code}"}})

    assert answer["outputs"] == {"seen": {"code": "broke", "at": "boom"}, "failed": None}
    assert [problem.code for problem in validate(wrong, catalog=CATALOG)] == ["unknown_name"]


def test_an_error_passes_through_containers_as_it_is():
    answer = ran(document(attempt(switch(("true", boom())), **{"finally": [put("f")]})))

    assert (answer["error"]["code"], answer["error"]["step"]) == ("broke", "boom")
    assert [step["error"]["step"] for step in answer["steps"] if step["error"]] == ["boom"] * 3


def test_errors_of_the_last_steps_are_told_beside_the_first():
    answer = ran(
        document(
            boom(),
            on_error=[{"id": "e", "set": {"x": "${error.code} ${null}"}}, put("never")],
            **{"finally": [{"id": "l", "set": {"x": "${steps.boom} ${null}"}}]},
        )
    )

    error = answer["error"]
    assert (error["code"], error["cause"]["step"], error["cause"]["cause"]["step"]) == ("broke", "l", "e")
    assert trace(answer) == ["boom failed", "e failed", "l failed"]


def test_a_failure_of_finally_fails_a_run_that_went_well():
    answer = ran(document(put("a"), **{"finally": [{"id": "l", "set": {"x": "a${null}"}}]}))

    assert (answer["state"], answer["error"]["code"], answer["error"]["step"]) == ("failed", "missing_value", "l")


def test_the_limit_of_steps_is_caught_by_nobody_and_what_runs_last_still_runs():
    steps = [attempt(put("a"), put("b"), put("c"), catch=[clause(put("d"))])]

    answer = ran(document(*steps, limits={"max_steps": 2}, on_error=[put("e")], **{"finally": [LAST]}))

    assert answer["error"]["code"] == "max_steps"
    assert trace(answer) == ["a succeeded", "e succeeded", "last succeeded"]
    assert answer["steps"][-1]["output"] == {"error": "max_steps"}


def test_steps_of_a_branch_that_did_not_run_are_null():
    answer = ran(
        document(switch(("false", put("a")), ("true", put("b"))), outputs={"a": "${steps.a}", "b": "${steps.b.v}"})
    )

    assert answer["outputs"] == {"a": None, "b": 1}


@pytest.mark.parametrize(
    ("written", "pointer", "code"),
    [
        (document({"switch": {"cases": []}}), "/steps/0/switch", "empty"),
        (document({"switch": {}}), "/steps/0/switch", "missing_field"),
        (document(switch(("true",))), "/steps/0/switch/cases/0/steps", "empty"),
        (document(switch(("tru", put("a")))), "/steps/0/switch/cases/0/when", "unknown_name"),
        (
            document(switch(("true", put("a")), ("true", put("b", "${steps.a}")))),
            "/steps/0/switch/cases/1/steps/0/set/v",
            "used_before_defined",
        ),
        (document({"try": [put("a")]}), "/steps/0/try", "empty"),
        (document({"try": [], "finally": [put("a")]}), "/steps/0/try", "empty"),
        (document(attempt(put("a"), catch=[])), "/steps/0/try", "empty"),
        (document(attempt(put("a"), catch=[clause()])), "/steps/0/catch/0/steps", "empty"),
        (
            document(attempt(put("a"), catch=[clause(put("c"), **{"as": "params"})])),
            "/steps/0/catch/0/as",
            "invalid_value",
        ),
        (
            document(attempt(put("a"), **{"finally": [boom()]})),
            "/steps/0/finally/0/fail",
            "not_here",
        ),
        (document(put("a"), on_error=[{"succeed": {}}]), "/on_error/0/succeed", "not_here"),
        (document(put("a"), **{"finally": []}), "/finally", "empty"),
        (document(put("a"), on_error=[put("a")]), "/on_error/0/id", "duplicate_id"),
        (
            document(put("a"), {"set": {"x": "${steps.f}"}}, **{"finally": [put("f")]}),
            "/steps/1/set/x",
            "used_before_defined",
        ),
        (
            document(attempt(put("a"), catch=[clause({"uses": "nope"})])),
            "/steps/0/catch/0/steps/0/uses",
            "unknown_tool",
        ),
        (document(switch(("true", put("a"))) | {"timeout": "PT0S"}), "/steps/0/timeout", "bad_duration"),
        (document(switch(("true", put("a"))) | {"retry": {"max": "x"}}), "/steps/0/retry/max", "bad_duration"),
    ],
)
def test_what_is_wrong_inside_is_told_at_its_place(written, pointer, code):
    (found,) = validate(written, catalog=CATALOG)

    assert (found.pointer, found.code, found.severity) == (pointer, code, Severity.ERROR)


def test_steps_are_counted_in_the_order_of_the_document():
    steps = [
        {"set": {}},
        {"switch": {"cases": [{"when": "true", "steps": [{"set": {}}, {"set": {}}]}]}},
        {"try": [{"set": {}}], "finally": [{"set": {}}]},
    ]

    answer = ran(document(*steps, **{"finally": [{"set": {}}]}))

    assert [step["path"] for step in answer["steps"]] == [
        "step_1", "step_3", "step_4", "step_2", "step_6", "step_7", "step_5", "step_8",
    ]  # fmt: skip


def test_what_a_yaml_1_1_loader_made_of_on_is_read_in_clauses_and_inside_of_them():
    inner = {"uses": "echo", "retry": {True: ["timeout"], "max_attempts": 2}}
    written = document(attempt(boom(), catch=[{True: ["broke"], "steps": [inner]}]))

    found = validate(written, catalog=CATALOG)

    assert [(problem.code, problem.severity) for problem in found] == [("yaml_on", Severity.WARNING)] * 2
    assert ran(written)["state"] == S


def test_a_step_inside_is_retried_and_its_effects_are_made_once(run):
    world = World(behaviour=failing(1, transient))
    call = {"id": "s", "uses": "send", "with": {}, "retry": {"max_attempts": 2, "initial": "PT1S"}}

    outcome = run(world.finish(document(attempt(call, catch=[clause(put("c"))]))))

    assert outcome == Succeeded({})
    assert [(call.path, call.attempt) for call in world.calls] == [("s", 1), ("s", 2)]


def test_what_runs_last_waits_until_no_attempt_of_the_run_is_left(run):
    world = World(behaviour=failing(9, permanent))
    written = document({"id": "s", "uses": "send", "with": {}}, **{"finally": [put("f")]}, on_error=[put("e")])

    world.is_retried = True
    first = run(world.go(written))
    before = [path for path, *_ in world.states]
    world.is_retried, world.run_attempt = False, 2
    second = run(world.go(written))

    assert isinstance(first, Failed)
    assert isinstance(second, Failed)
    assert before == ["s"]
    assert [path for path, *_ in world.states] == ["s", "s", "e", "f"]
