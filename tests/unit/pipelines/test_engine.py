"""What a run does with its steps: order, skips, results, failures, limits."""

import asyncio

import pytest

from pipelines.engine.ports import Failed, StepState, Succeeded
from pipelines.errors import ErrorClass
from tests.unit.pipelines.world import World, document, failing, permanent, transient

S, F, K = StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED


def test_results_of_steps_reach_later_steps_and_the_outputs(run):
    """Acceptance case 23."""
    world = World()
    written = document(
        {"uses": "math.add", "with": {"a": "${params.x}", "b": "${params.y}"}, "save_as": "sum"},
        {"id": "say", "uses": "echo", "with": {"text": "Result: ${steps.sum.result}"}},
        params={"x": 10, "y": 5},
        outputs={"text": "${steps.say.text}", "same": "${steps.step_1.result == steps.sum.result}"},
    )

    outcome = run(world.go(written))

    assert outcome == Succeeded({"text": "Result: 15", "same": True})
    assert world.states == [("step_1", S, 1), ("say", S, 1)]


def test_a_step_whose_condition_is_false_is_skipped_and_its_result_is_null(run):
    """Acceptance case 23."""
    world = World()
    written = document(
        {"id": "one", "if": "params.enabled", "set": {"v": 1}},
        {"id": "two", "if": "${params.disabled}", "set": {"v": 2}},
        {"id": "three", "if": "params.nowhere", "set": {"v": 3}},
        params={"enabled": True, "disabled": False},
        outputs={"two": "${steps.two}", "one": "${steps.one.v}"},
    )

    outcome = run(world.go(written))

    assert outcome == Succeeded({"two": None, "one": 1})
    assert world.states == [("one", S, 1), ("two", K, 1), ("three", K, 1)]


def test_an_empty_pipeline_of_the_older_form_succeeds(run):
    """Acceptance case 23."""
    world = World()

    outcome = run(world.go({"pipeline": []}))

    assert outcome == Succeeded({})
    assert world.entries == []


def test_a_runs_params_replace_the_defaults_key_by_key_and_are_never_rendered(run):
    world = World()
    written = document(
        {"id": "a", "set": {"x": "${params.x}", "y": "${params.y}"}}, params={"x": {"deep": 1}, "y": "${steps.a}"}
    )

    run(world.go(written, params={"x": "${params.y}"}))

    assert world.output("a") == {"x": "${params.y}", "y": "${steps.a}"}


def test_a_failure_ends_the_run_and_names_step_attempt_and_class(run):
    world = World(behaviour=failing(1, permanent))
    written = document({"id": "a", "uses": "fetch"}, {"id": "b", "set": {}})

    outcome = run(world.go(written))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.step, outcome.error.attempt) == ("http_404", "a", 1)
    assert world.states == [("a", F, 1)]


def test_a_tolerated_failure_is_the_result_and_the_run_goes_on(run):
    world = World(behaviour=failing(1, permanent))
    written = document(
        {"id": "a", "uses": "fetch", "continue_on_error": True},
        {"id": "b", "set": {"code": "${steps.a.error.code}"}},
    )

    outcome = run(world.go(written))

    assert outcome == Succeeded({})
    assert world.output("b") == {"code": "http_404"}
    assert [entry.tolerated for entry in world.entries] == [True, False]


@pytest.mark.parametrize(
    ("step", "pointer", "code"),
    [
        ({"set": {"a": ["x", "t ${params.no}"]}}, "/steps/0/set/a/1", "missing_value"),
        ({"set": {"a": "${div(1, 0)}"}}, "/steps/0/set/a", "bad_argument"),
        ({"if": "upper(params.no) == 'A'", "set": {}}, "/steps/0/if", "bad_argument"),
        ({"uses": "echo", "with": {"a": "${upper(params)}"}}, "/steps/0/with/a", "bad_argument"),
    ],
)
def test_an_expression_that_fails_points_to_its_field(run, step, pointer, code):
    outcome = run(World().go(document(step)))

    assert outcome.error.error_class is ErrorClass.EXPRESSION
    assert (outcome.error.pointer, outcome.error.code, outcome.error.step) == (pointer, code, "step_1")


def test_a_failure_in_the_outputs_fails_the_run_and_points_there(run):
    outcome = run(World().go(document({"set": {}}, outputs={"x": "a ${params.no}"})))

    assert isinstance(outcome, Failed)
    assert (outcome.error.pointer, outcome.error.step) == ("/outputs/x", None)


def test_input_that_breaks_the_schema_fails_before_the_call(run):
    world = World()
    written = document({"uses": "math.add", "with": {"a": "${params.x}", "b": 1}}, params={"x": "ten"})

    outcome = run(world.go(written))

    assert (outcome.error.code, outcome.error.error_class) == ("bad_argument", ErrorClass.VALIDATION)
    assert outcome.error.pointer == "/steps/0/with/a"
    assert world.calls == []


def test_a_result_that_breaks_the_schema_is_a_failure(run):
    world = World(behaviour=lambda call: {"sum": 3})

    outcome = run(world.go(document({"uses": "math.add", "with": {"a": 1, "b": 2}})))

    assert (outcome.error.code, outcome.error.error_class) == ("output_schema", ErrorClass.VALIDATION)


@pytest.mark.parametrize(
    "result",
    [{"a": float("nan")}, {"a": "x\0"}, {"a": "\ud800"}, {"a": 2**53 + 1}, {"a": {1}}, {1: "a"}],
    ids=["nan", "nul", "surrogate", "integer", "set", "key"],
)
def test_a_result_without_portable_json_is_a_failure_of_the_step(run, result):
    outcome = run(World(behaviour=lambda call: result).go(document({"uses": "echo"})))

    assert (outcome.error.code, outcome.error.error_class) == ("unusable_value", ErrorClass.VALIDATION)


def test_later_steps_see_the_copy_that_json_makes_even_when_nothing_crashed(run):
    shared = {"when": ("a", "b")}
    world = World(behaviour=lambda call: shared)
    written = document({"id": "a", "uses": "echo"}, outputs={"when": "${steps.a.when}"})

    outcome = run(world.go(written))

    assert outcome.outputs["when"] == ["a", "b"]
    assert world.entries[0].output is not shared


def test_fail_ends_with_the_documents_error(run):
    written = document(
        {"fail": {"code": "no_rain", "message": "It is ${params.sky}", "class": "rejected"}}, params={"sky": "blue"}
    )

    outcome = run(World().go(written))

    assert (outcome.error.code, outcome.error.detail) == ("no_rain", "It is blue")
    assert outcome.error.error_class is ErrorClass.REJECTED


@pytest.mark.parametrize(
    ("value", "detail"), [(None, "no_rain"), ([1.0, {"a": "b"}], '[1,{"a":"b"}]'), (True, "true"), ("", ""), (7, "7")]
)
def test_the_message_of_a_failure_that_is_no_text_is_shown_as_texts_show_it(run, value, detail):
    written = document({"fail": {"code": "no_rain", "message": "${params.why}"}}, params={"why": value})

    assert run(World().go(written)).error.detail == detail


@pytest.mark.parametrize(
    ("succeed", "outputs"), [({"outputs": {"y": "${steps.a.v}"}}, {"y": 1}), ({}, {"x": "from the document"})]
)
def test_succeed_ends_at_once_with_its_outputs_or_the_documents(run, succeed, outputs):
    world = World()
    written = document(
        {"id": "a", "set": {"v": 1}},
        {"succeed": succeed},
        {"fail": {"code": "never"}},
        outputs={"x": "from the document"},
    )

    first = run(world.go(written))
    resumed = run(world.go(written))

    assert first == resumed == Succeeded(outputs)


def test_a_skipped_succeed_does_not_end_the_run(run):
    world = World()

    run(world.go(document({"if": "false", "succeed": {}}, {"id": "b", "set": {}})))

    assert world.states == [("step_1", K, 1), ("b", S, 1)]


def test_steps_beyond_the_limit_are_not_started_whatever_tolerates_errors(run):
    world = World()
    written = document(
        {"if": "false", "set": {}},
        {"set": {}},
        {"set": {}},
        {"id": "over", "set": {}, "continue_on_error": True},
        limits={"max_steps": 2},
    )

    outcome = run(world.go(written))

    assert (outcome.error.code, outcome.error.error_class, outcome.error.step) == (
        "max_steps",
        ErrorClass.LIMIT,
        "over",
    )
    assert len(world.entries) == 3


def test_only_results_of_tools_that_are_not_pure_are_barriers_and_effects_declare_their_intent(run):
    world = World()
    written = document(
        {"id": "s", "set": {}},
        {"id": "p", "uses": "echo"},
        {"id": "i", "uses": "fetch"},
        {"id": "e", "uses": "send", "with": {"to": "me"}},
        {"id": "k", "if": "false", "set": {}},
    )

    run(world.go(written))

    kept = [(entry.path, entry.state, barrier) for entry, barrier in zip(world.entries, world.barriers, strict=True)]
    assert kept == [
        ("s", S, False),
        ("p", S, False),
        ("i", S, True),
        ("e", StepState.STARTED, True),
        ("e", S, True),
        ("k", K, False),
    ]
    assert world.entries[3].input == {"to": "me"}


def test_finished_steps_are_never_run_again(run):
    world = World(behaviour=failing(1, transient))
    written = document({"id": "a", "uses": "echo", "with": {"n": 1}}, {"id": "b", "uses": "fetch"})
    world.behaviour = lambda call: {"n": 1} if call.path == "a" else _raise(transient())
    run(world.go(written))
    world.behaviour = lambda call: {"n": 2}
    world.run_attempt = 2

    outcome = run(world.go(written))

    assert outcome == Succeeded({})
    assert [call.path for call in world.calls] == ["a", "b", "b"]
    assert world.states == [("a", S, 1), ("b", F, 1), ("b", S, 2)]


def test_a_cancellation_passes_through_untouched(run):
    def cancelled(call):
        raise asyncio.CancelledError

    world = World(behaviour=cancelled)

    with pytest.raises(asyncio.CancelledError):
        run(world.go(document({"uses": "echo", "continue_on_error": True, "retry": {"on": ["canceled", "internal"]}})))

    assert world.entries == []


def test_a_declared_tool_is_simulated_in_a_real_run_and_marked(run):
    world = World()

    run(world.go(document({"id": "d", "uses": "declared"})))

    assert world.output("d") == {"ok": True}
    assert world.entries[0].simulated
    assert world.calls == []


def test_a_fixture_is_used_in_simulated_runs_only(run):
    written = document({"id": "a", "uses": "echo", "with": {"n": 1}, "simulate": {"output": {"n": 2}}})
    real, simulated = World(), World(simulated=True)

    run(real.go(written))
    run(simulated.go(written))

    assert (real.output("a"), real.entries[0].simulated) == ({"n": 1}, False)
    assert (simulated.output("a"), simulated.entries[0].simulated) == ({"n": 2}, True)


def test_simulate_real_calls_a_pure_tool_in_a_simulated_run(run):
    world = World(simulated=True)

    run(world.go(document({"id": "a", "uses": "echo", "with": {"n": 1}, "simulate": "real"})))

    assert (world.output("a"), world.entries[0].simulated) == ({"n": 1}, False)


def test_an_invoker_is_given_the_steps_timeout_or_the_tools(run):
    world = World()

    run(world.go(document({"uses": "echo", "timeout": "PT5S"}, {"uses": "echo"})))

    assert [call.timeout.total_seconds() for call in world.calls] == [5, 60]


def _raise(error):
    raise error


def test_a_step_that_is_always_simulated_calls_nothing_in_a_run_that_acts_for_real(run):
    world = World()
    written = document(
        {"id": "grounded", "uses": "charge", "simulate": True},
        {"id": "real", "uses": "send", "with": {"n": 1}},
        outputs={"n": "${steps.real.n}"},
    )

    assert run(world.go(written)) == Succeeded({"n": 1})
    assert [call.spec.name for call in world.calls] == ["send"]
    assert {entry.path: entry.simulated for entry in world.entries} == {"grounded": True, "real": False}
