"""Branches and iterations side by side: who decides, what becomes of the others, and what is found again."""

import asyncio
from datetime import timedelta

import pytest

from pipelines.document import Severity, validate
from pipelines.engine.ports import Parked, StepState, Succeeded
from pipelines.simulation import simulate
from tests.unit.pipelines.test_nesting import attempt, clause, put, ran, trace
from tests.unit.pipelines.world import CATALOG, World, document

S, F = "succeeded", "failed"


def slow(step_id, seconds, value=1, **fields):
    return {"id": step_id, "uses": "echo", "simulate": {"output": value, "delay": f"PT{seconds}S"}, **fields}


def breaks(step_id, seconds, code="broke", **fields):
    error = {"code": code, "class": "permanent"}
    return {"id": step_id, "uses": "echo", "simulate": {"error": error, "delay": f"PT{seconds}S"}, **fields}


def parallel(mode="all", **branches):
    return {"id": "p", "parallel": {"branches": branches, "mode": mode}}


def each(items, *steps, **fields):
    return {"id": "each", "for_each": items, "steps": list(steps), **fields}


def timed(answer):
    return [(step["path"], step["state"], step["at"]) for step in answer["steps"]]


def result(written):
    return {**written, "outputs": {"of": "${steps." + written["steps"][0]["id"] + "}"}}


def test_all_branches_run_at_the_same_time_and_in_one_name_space():
    written = document(parallel(a=[slow("x", 3, 7)], b=[slow("y", 1, 8), slow("z", 1, 9)]))
    answer = ran({**written, "outputs": {"p": "${steps.p}", "x": "${steps.x}", "y": "${steps.y}"}})

    assert answer["outputs"] == {"p": {"a": 7, "b": 9}, "x": 7, "y": 8}
    assert timed(answer) == [
        ("y", S, "PT1S"),
        ("z", S, "PT2S"),
        ("x", S, "PT3S"),
        ("p", S, "PT3S"),
    ]


def test_the_first_failure_stops_the_others_and_is_the_error():
    answer = ran(document(parallel(a=[slow("x", 9), put("never")], b=[breaks("y", 2)], c=[slow("z", 1)])))

    assert (answer["error"]["code"], answer["error"]["step"]) == ("broke", "y")
    assert timed(answer) == [
        ("z", S, "PT1S"),
        ("y", F, "PT2S"),
        ("x", "canceled", "PT2S"),
        ("p", F, "PT2S"),
    ]


def test_any_takes_the_first_success_and_stops_the_others():
    answer = ran(result(document(parallel("any", a=[slow("x", 9)], b=[breaks("y", 1)], c=[slow("z", 2, "ok")]))))

    assert answer["outputs"]["of"] == {"winner": "c", "result": "ok"}
    assert trace(answer) == ["y failed", "z succeeded", "x canceled", "p succeeded"]


def test_any_that_has_no_success_fails_with_all_errors():
    error = ran(document(parallel("any", a=[breaks("x", 2, "one")], b=[breaks("y", 1, "two")])))["error"]

    assert (error["code"], error["class"], error["step"]) == ("all_failed", "permanent", "p")
    assert {name: each["code"] for name, each in error["cause"].items()} == {"a": "one", "b": "two"}


def test_what_a_stopped_branch_runs_last_is_waited_for_and_sees_why():
    last = [slow("tidy", 5), {"id": "why", "set": {"error": "${error.code}"}}]
    loser = attempt(slow("x", 60), catch=[clause(put("caught"))], **{"finally": last})
    answer = ran(document(parallel("any", a=[loser], b=[slow("y", 1)]), put("after", "${steps.why.error}")))

    assert timed(answer) == [
        ("y", S, "PT1S"),
        ("x", "canceled", "PT1S"),
        ("tidy", S, "PT6S"),
        ("why", S, "PT6S"),
        ("t", "canceled", "PT6S"),
        ("p", S, "PT6S"),
        ("after", S, "PT6S"),
    ]
    assert [step["output"] for step in answer["steps"] if step["path"] == "after"] == [{"v": "canceled"}]


def test_a_branch_that_is_stopped_while_it_tidies_up_comes_to_its_end():
    tidying = attempt(put("x"), **{"finally": [slow("tidy", 5)]})
    answer = ran(document(parallel("any", a=[tidying, put("never")], b=[slow("y", 1)])))

    assert trace(answer) == ["x succeeded", "y succeeded", "tidy succeeded", "t succeeded", "p succeeded"]


def test_a_failure_of_what_a_stopped_branch_runs_last_fails_the_step():
    loser = attempt(slow("x", 60), **{"finally": [breaks("messy", 1, "messy")]})

    assert ran(document(parallel("any", a=[loser], b=[slow("y", 1)])))["error"]["code"] == "messy"
    both = ran(document(parallel(a=[loser], b=[breaks("y", 1)])))["error"]
    assert (both["code"], both["cause"]["code"]) == ("broke", "messy")


def test_a_retry_that_is_waited_for_is_given_up_too():
    retried = {"retry": {"max_attempts": 3, "initial": "PT30S", "on": ["broke"]}}
    answer = ran(document(parallel("any", a=[breaks("x", 1, **retried)], b=[slow("y", 5)])))

    assert trace(answer) == ["x failed", "y succeeded", "p succeeded"]


def test_branches_nest_and_are_stopped_with_what_is_inside_of_them():
    inner = {"id": "q", "parallel": {"branches": {"m": [slow("m", 50)], "n": [attempt(slow("n", 50))]}}}
    inner["parallel"]["branches"]["n"][0]["finally"] = [put("tidy")]
    answer = ran(document(parallel(a=[inner], b=[breaks("y", 1)])))

    assert trace(answer) == [
        "y failed",
        "m canceled",
        "n canceled",
        "tidy succeeded",
        "t canceled",
        "q canceled",
        "p failed",
    ]


def test_succeed_in_a_branch_ends_the_run_and_the_others_tidy_up():
    loser = attempt(slow("x", 60), **{"finally": [put("tidy")]})
    answer = ran(document(parallel(a=[loser], b=[slow("y", 1), {"id": "s", "succeed": {"outputs": {"ok": True}}}])))

    assert (answer["state"], answer["outputs"]) == (S, {"ok": True})
    assert "tidy succeeded" in trace(answer)


@pytest.mark.parametrize(("concurrency", "ends"), [(1, 6), (2, 3), (3, 3), (50, 3)])
def test_so_many_iterations_run_at_a_time(concurrency, ends):
    step = {
        "id": "x",
        "uses": "echo",
        "simulate": [
            {"when": "item == 3", "output": "${item}", "delay": "PT3S"},
            {"when": "item == 2", "output": "${item}", "delay": "PT2S"},
            {"output": "${item}", "delay": "PT1S"},
        ],
    }
    answer = ran(result(document(each([3, 1, 2], step, concurrency=concurrency))))

    assert answer["outputs"]["of"] == [3, 1, 2]
    assert timed(answer)[-1] == ("each", S, f"PT{ends}S")


def test_the_failure_that_is_one_too_many_stops_the_iterations_that_run():
    written = {
        "id": "x",
        "uses": "echo",
        "simulate": [
            {"when": "item < 0", "error": {"code": "negative"}, "delay": "PT1S"},
            {"output": 1, "delay": "PT9S"},
        ],
    }
    answer = ran(document(each([5, -1, 7], written, concurrency=3)))

    assert answer["error"]["code"] == "negative"
    assert trace(answer) == ["each[1].x failed", "each[0].x canceled", "each[2].x canceled", "each failed"]


def losing(*last):
    """A branch whose `try` is stopped in a long wait, and whose last steps wait so long that the run parks."""
    wait = {"id": "long", "wait": {"for": "PT20S"}}
    naps = [{"id": f"nap{at}", "wait": {"for": each}} for at, each in enumerate(last)] or [put("nothing")]
    return [{"id": "t", "try": [wait], "finally": naps}]


@pytest.mark.parametrize("last", [[], ["PT1S", "PT1S"], ["PT3S"], ["PT3S", "PT3S", "PT3S"]], ids=len)
@pytest.mark.parametrize("how", ["any", "cancel", "timeout"])
def test_a_container_that_is_stopped_says_so_once_however_often_the_run_parks_behind_it(how, last):
    winner = [{"id": "q", "wait": {"for": "PT5S"}}] if how == "any" else losing_twin()
    box = parallel("any" if how == "any" else "all", a=losing(*last), b=winner)
    if how == "timeout":
        box |= {"timeout": "PT5S", "continue_on_error": True}
    answer = simulate(document(box), catalog=CATALOG, cancel_at=timedelta(seconds=5) if how == "cancel" else None)

    said = [(step["path"], step["attempt"]) for step in answer["steps"] if step["state"] == "canceled"]
    stopped = {("t", 1), ("long", 1)} | ({("t2", 1), ("long2", 1)} if how != "any" else set())
    assert {place for place in said if place[0] != "p"} == stopped
    assert len(said) == len(set(said))


def losing_twin():
    long = {"id": "long2", "wait": {"for": "PT30S"}}
    return [{"id": "t2", "try": [long], "finally": [{"id": "tidy2", "set": {"x": 1}}]}]


def test_of_several_that_end_the_run_in_one_instant_the_first_has_ended_it():
    branches = {name: [{"id": name, "succeed": {"outputs": {"by": name}}}] for name in "abc"}
    loop = each([1, 2, 3], {"id": "x", "succeed": {"outputs": {"by": "${item}"}}}, concurrency=3)

    assert ran(document(parallel(**branches)))["outputs"] == {"by": "a"}
    assert ran(document(loop))["outputs"] == {"by": 1}


def test_a_run_that_is_canceled_cancels_all_branches():
    answer = ran(document(parallel(a=[slow("x", 9)], b=[slow("y", 9)])), cancel_at=timedelta(seconds=2))

    assert answer["state"] == "canceled"
    assert sorted(trace(answer)) == ["p canceled", "x canceled", "y canceled"]


WAITS = {"retry": {"max_attempts": 2, "initial": "PT1M", "jitter": False}}


def test_a_run_parks_when_every_branch_waits_and_not_before():
    failing = {"fetch": 1, "send": 1}

    def behave(call):
        from tests.unit.pipelines.world import answer, transient

        if failing.get(call.spec.name, 0) > 0 and call.attempt == 1:
            raise transient()
        return answer(call)

    world = World(behaviour=behave)
    written = document(
        parallel(
            a=[{"id": "x", "uses": "fetch", "with": {"n": 1}, **WAITS}],
            b=[{"id": "y", "uses": "send", "with": {"n": 1}, "retry": {"max_attempts": 2, "initial": "PT2M"}}],
            c=[put("z")],
        )
    )

    outcome = asyncio.run(world.go(written))
    assert isinstance(outcome, Parked)
    assert outcome.path == "x"
    assert isinstance(asyncio.run(world.finish(written)), Succeeded)
    assert [entry.path for entry in world.entries if entry.state is StepState.SUCCEEDED] == ["z", "x", "y", "p"]


@pytest.mark.parametrize(
    ("written", "pointer", "code"),
    [
        (document(parallel()), "/steps/0/parallel/branches", "empty"),
        (document(parallel(a=[])), "/steps/0/parallel/branches/a", "empty"),
        (document(parallel("some", a=[put("x")])), "/steps/0/parallel/mode", "invalid_value"),
        (document({"parallel": {"branches": {"A b": [put("x")]}}}), "/steps/0/parallel/branches", "invalid_value"),
        (
            document(parallel(a=[put("x")], b=[put("y", "${steps.x}")])),
            "/steps/0/parallel/branches/b/0/set/v",
            "used_before_defined",
        ),
        (document(each([1], put("x"), concurrency=0)), "/steps/0/concurrency", "invalid_value"),
        (document(each([1], put("x"), concurrency=51)), "/steps/0/concurrency", "invalid_value"),
    ],
)
def test_mistakes_are_told_where_they_stand(written, pointer, code):
    problems = [each for each in validate(written, catalog=CATALOG) if each.severity is Severity.ERROR]

    assert (problems[0].pointer, problems[0].code) == (pointer, code)


def test_a_run_that_is_canceled_runs_what_runs_last_and_nothing_else():
    inner = attempt(slow("x", 9), catch=[clause(put("caught"))], **{"finally": [slow("tidy", 1)]})
    written = {
        **document(inner, put("never")),
        "on_error": [put("alarm")],
        "finally": [{"id": "last", "set": {"error": "${error.code}"}}],
    }
    answer = ran(written, cancel_at=timedelta(seconds=2))

    assert (answer["state"], answer["error"]["code"], answer["outputs"]) == ("canceled", "canceled", {})
    assert timed(answer) == [
        ("x", "canceled", "PT2S"),
        ("tidy", S, "PT3S"),
        ("t", "canceled", "PT3S"),
        ("last", S, "PT3S"),
    ]
    assert answer["steps"][-1]["output"] == {"error": "canceled"}


def test_a_run_that_is_canceled_while_it_is_parked_runs_what_runs_last():
    retried = {"retry": {"max_attempts": 2, "initial": "PT1H", "on": ["broke"]}}
    written = {**document(breaks("x", 1, **retried)), "finally": [put("last")]}

    assert timed(ran(written, cancel_at=timedelta(minutes=1))) == [("x", F, "PT1S"), ("last", S, "PT1M")]
