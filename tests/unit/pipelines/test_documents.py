"""What is wrong with documents: each problem with its place, its code and a way out, all of them at once."""

from typing import Any

import jsonschema_rs
import pytest

from pipelines.document import (
    DocumentInvalid,
    Severity,
    check_params,
    compile_document,
    document_schema,
    normalise,
    validate,
)
from pipelines.tools.base import SideEffect
from tests.unit.pipelines.test_schema_work import doubling
from tests.unit.pipelines.world import CATALOG, FakeCatalog, document, spec


def problems(written, **options):
    return [(found.pointer, found.code) for found in validate(written, catalog=CATALOG, **options)]


def only(written, **options):
    (found,) = validate(written, catalog=CATALOG, **options)
    return found


WAITED = "/steps/0/wait_for_event"


def listening(**given: Any) -> dict[str, Any]:
    return document({"wait_for_event": {"topic": "order.paid", **given}})


@pytest.mark.parametrize(
    ("written", "pointer", "code"),
    [
        (5, "", "wrong_type"),
        ({}, "", "missing_field"),
        ({"version": 1, "steps": []}, "/steps", "empty"),
        ({"version": 2, "steps": [{"set": {}}]}, "/version", "invalid_value"),
        (document({"set": {}}, stepz=[]), "/stepz", "unknown_field"),
        (document({"set": {}}, on_error=[]), "/on_error", "empty"),
        (document({"set": {}}, limits={"max_steps": 10_001}), "/limits/max_steps", "invalid_value"),
        (document({"set": {}}, params_schema={"type": "objet"}), "/params_schema", "bad_schema"),
        (document({"set": {"x": "${upper(`1`)}"}}), "/steps/0/set/x", "bad_argument"),
        (document({"id": "e", "for_each": "abc", "steps": [{"set": {}}]}), "/steps/0/for_each", "wrong_type"),
        (document({"set": {}}, params_schema={"properties": 5}), "/params_schema", "bad_schema"),
        (document({"set": {}}, params_schema={"properties": [[1]]}), "/params_schema", "bad_schema"),
        (document({"set": {}}, params_schema=doubling(40)), "/params_schema", "bad_schema"),
        (document({"set": {}}, params_schema={"$ref": "http://127.0.0.1/x"}), "/params_schema", "bad_schema"),
        (document({"set": {}}, params_schema={"$ref": "file:///etc/passwd"}), "/params_schema", "bad_schema"),
        (document({"set": {"a": 2**53 + 1}}), "/steps/0/set/a", "integer_too_large"),
        (document({"set": {"a": "\0"}}), "/steps/0/set/a", "nul_character"),
        (document("text"), "/steps/0", "wrong_type"),
        (document({"id": "a"}), "/steps/0", "missing_kind"),
        (document({"uses": ""}), "/steps/0/uses", "invalid_value"),
        (document({"uses": None}), "/steps/0/uses", "wrong_type"),
        (document({"uses": "echo", "set": {}}), "/steps/0", "several_kinds"),
        (document({"run": " "}), "/steps/0/run", "invalid_value"),
        (document({"run": 5}), "/steps/0/run", "wrong_type"),
        (document({"run": "other", "params": [1]}), "/steps/0/params", "wrong_type"),
        (document({"run": "other", "wait": {"for": "PT1H"}}), "/steps/0/wait", "wrong_type"),
        (document({"run": "other", "wait": False, "timeout": "PT1H"}), "/steps/0/timeout", "not_here"),
        (document({"run": "other", "set": {}}), "/steps/0", "several_kinds"),
        (document({"run": "${steps.nothing}"}), "/steps/0/run", "unknown_step"),
        (document({"wait_for_event": {}}), WAITED, "missing_field"),
        (listening(topic="order."), f"{WAITED}/topic", "bad_topic"),
        (listening(filter="evnt.x"), f"{WAITED}/filter", "unknown_name"),
        (listening(filter="a ="), f"{WAITED}/filter", "syntax"),
        (listening(timeout="PT0S"), f"{WAITED}/timeout", "bad_duration"),
        (listening(timeout="P5000D"), f"{WAITED}/timeout", "bad_duration"),
        (listening(buffered="soon"), f"{WAITED}/buffered", "bad_duration"),
        (listening(on_timeout="continue"), f"{WAITED}/on_timeout", "invalid_value"),
        (document({"wait_for_event": {"topic": "a"}, "timeout": "PT1H"}), "/steps/0/timeout", "not_here"),
        (document({"id": "A b", "set": {}}), "/steps/0/id", "invalid_value"),
        (document({"id": "a", "set": {}}, {"id": "a", "set": {}}), "/steps/1/id", "duplicate_id"),
        (document({"id": "step_2", "set": {}}, {"set": {}}), "/steps/1/id", "duplicate_id"),
        (document({"id": "a", "set": {}}, {"id": "b", "save_as": "a", "set": {}}), "/steps/1/save_as", "duplicate_id"),
        (document({"uses": "echoo"}), "/steps/0/uses", "unknown_tool"),
        (document({"uses": "echo", "withh": {}}), "/steps/0/withh", "unknown_field"),
        (document({"uses": "echo", "timeout_seconds": 5}), "/steps/0/timeout_seconds", "unknown_field"),
        (document({"uses": "echo", "timeout": "5s"}), "/steps/0/timeout", "bad_duration"),
        (document({"uses": "echo", "timeout": "P1M"}), "/steps/0/timeout", "bad_duration"),
        (document({"uses": "echo", "timeout": "PT0S"}), "/steps/0/timeout", "bad_duration"),
        (document({"uses": "echo", "timeout": "P3661D"}), "/steps/0/timeout", "bad_duration"),
        (document({"uses": "echo", "retry": {"initial": "P3661D"}}), "/steps/0/retry/initial", "bad_duration"),
        (document({"uses": "echo", "retry": {"max": "P2999999D"}}), "/steps/0/retry/max", "bad_duration"),
        (document({"uses": "echo", "retry": {"max_elapsed": "P3661D"}}), "/steps/0/retry/max_elapsed", "bad_duration"),
        (document({"uses": "echo", "retry": {"max_attempts": 0}}), "/steps/0/retry/max_attempts", "invalid_value"),
        (document({"uses": "echo", "retry": {"backof": "fixed"}}), "/steps/0/retry/backof", "unknown_field"),
        (document({"uses": "echo", "retry": {"initial": "soon"}}), "/steps/0/retry/initial", "bad_duration"),
        (document({"uses": "math.add", "with": {"a": 1}}), "/steps/0/with", "missing_field"),
        (document({"uses": "math.add", "with": {"a": 1, "b": "x"}}), "/steps/0/with/b", "wrong_type"),
        (document({"uses": "math.add", "with": {"a": 1, "b": 2, "c": 3}}), "/steps/0/with/c", "unknown_field"),
        (document({"uses": "send", "simulate": "real"}), "/steps/0/simulate", "not_pure"),
        (
            document({"uses": "echo", "simulate": {"output": 1, "error": {"code": "x"}}}),
            "/steps/0/simulate",
            "invalid_value",
        ),
        (document({"uses": "echo", "simulate": {}}), "/steps/0/simulate", "invalid_value"),
        (document({"uses": "echo", "simulate": []}), "/steps/0/simulate", "invalid_value"),
        (document({"set": {}, "simulate": True}), "/steps/0/simulate", "not_here"),
        (document({"approval": {"title": "x"}, "simulate": True}), "/steps/0/simulate", "not_here"),
        (document({"uses": "echo", "simulate": False}), "/steps/0/simulate", "wrong_type"),
        (document({"uses": "far.away", "simulate": True}), "/steps/0/uses", "unknown_tool"),
        (document({"uses": "echo", "simulate": [{"outptu": 1}]}), "/steps/0/simulate/0/outptu", "unknown_field"),
        (document({"fail": {"message": "x"}}), "/steps/0/fail", "missing_field"),
        (document({"fail": {"code": "x", "class": "canceled"}}), "/steps/0/fail/class", "invalid_value"),
        (document({"succeed": {"output": {}}}), "/steps/0/succeed/output", "unknown_field"),
        (document({"set": {"a": "${a..b}"}}), "/steps/0/set/a", "syntax"),
        (document({"set": {"a": "${params.x"}}), "/steps/0/set/a", "unclosed_template"),
        (document({"set": {"a": ["${nope(1)}"]}}), "/steps/0/set/a/0", "unknown_function"),
        (document({"set": {"a": "${length()}"}}), "/steps/0/set/a", "invalid_arity"),
        (document({"set": {"a": "${param.x}"}}), "/steps/0/set/a", "unknown_name"),
        (document({"set": {"a": "${run.idd}"}}), "/steps/0/set/a", "unknown_name"),
        (document({"set": {"a": "${item}"}}), "/steps/0/set/a", "unknown_name"),
        (document({"set": {"a": "${steps.nowhere}"}}), "/steps/0/set/a", "unknown_step"),
        (document({"set": {"a": "${steps.b}"}}, {"id": "b", "set": {}}), "/steps/0/set/a", "used_before_defined"),
        (document({"set": {"a": "${secrets.key}"}}), "/steps/0/set/a", "secret_not_here"),
        (document({"if": "secrets.key == 'x'", "set": {}}), "/steps/0/if", "secret_not_here"),
        (document({"uses": "echo", "with": {"a": "${secrets.key}"}}), "/steps/0/with/a", "secret_not_for_tool"),
        (document({"uses": "sealing", "with": {"a": "${secrets}"}}), "/steps/0/with/a", "secret_not_named"),
        (document({"uses": "sealing", "with": {"a": "${to_string(secrets)}"}}), "/steps/0/with/a", "secret_not_named"),
        (document({"if": "steps.me", "id": "me", "set": {}}), "/steps/0/if", "used_before_defined"),
        (document({"set": {}}, outputs={"a": "${steps.b}"}), "/outputs/a", "unknown_step"),
        (document({"set": {}}, **{"assert": ["outputs.x =="]}), "/assert/0", "syntax"),
    ],
)
def test_a_document_with_one_mistake_has_that_problem_alone(written, pointer, code):
    found = only(written)

    assert (found.pointer, found.code, found.severity) == (pointer, code, Severity.ERROR)
    assert found.detail


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        (document({"uses": "echoo"}), "did you mean 'echo'?"),
        (document({"uses": "echo", "withh": {}}), "did you mean 'with'?"),
        (document({"user": "echo"}), "did you mean 'uses'?"),
        (document({"uses": "echo", "timeout_seconds": 5}), "write timeout: PT30S"),
        (document({"id": "sum", "set": {}}, {"set": {"a": "${sum}"}}), "did you mean steps.sum?"),
        (document({"set": {"a": "${city}"}}, params={"city": 1}), "did you mean params.city?"),
        (document({"id": "weather", "set": {}}, {"set": {"a": "${steps.wether.t}"}}), "did you mean steps.weather?"),
        (document({"set": {"a": "${uper('a')}"}}), "did you mean 'upper'?"),
    ],
)
def test_hints_say_what_was_probably_meant(written, hint):
    assert only(written).hint == hint


def test_all_problems_are_told_at_once():
    written = document(
        {"id": "a", "uses": "nope", "with": {"x": "${b..c}"}, "timeout": "x"},
        {"id": "a", "set": {"x": "${steps.zz} ${nope(1)}"}},
        outputs={"o": "${q}"},
        bogus=1,
    )

    assert set(problems(written)) == {
        ("/bogus", "unknown_field"),
        ("/steps/1/id", "duplicate_id"),
        ("/steps/0/timeout", "bad_duration"),
        ("/steps/0/uses", "unknown_tool"),
        ("/steps/0/with/x", "syntax"),
        ("/steps/1/set/x", "unknown_function"),
        ("/outputs/o", "unknown_name"),
    }


def test_a_parameter_that_the_document_does_not_speak_of_is_a_warning():
    found = only(document({"set": {"a": "${params.citty}"}}, params={"city": "x"}))

    assert (found.code, found.severity, found.hint) == ("unknown_param", Severity.WARNING, "did you mean 'city'?")


def test_values_that_templates_will_render_are_not_judged_by_their_text():
    written = document({"uses": "math.add", "with": {"a": "${params.x}", "b": "${params.y}"}})

    assert problems(written) == []


def test_an_unknown_tool_with_a_fixture_is_taken_where_fixtures_are_accepted():
    written = document({"uses": "far.away", "simulate": {"output": 1}})

    assert problems(written) == [("/steps/0/uses", "unknown_tool")]
    assert problems(written, accepts_fixtures=True) == []
    assert problems(document({"uses": "far.away"}), accepts_fixtures=True) == [("/steps/0/uses", "unknown_tool")]
    assert problems(document({"uses": "far.away"}), simulated={"far.away"}) == []


KEYED = document({"uses": "sealing", "with": {"a": "Bearer ${secrets.key}"}})


def test_a_secret_may_stand_where_it_exists_and_its_tool_may_have_it():
    assert problems(KEYED, secrets={"key": ["sealing"]}) == []


def test_where_secrets_are_not_known_any_name_is_taken():
    assert problems(KEYED, secrets=None) == []


def test_a_secret_that_does_not_exist_is_refused_with_the_one_that_was_meant():
    found = only(KEYED, secrets={"keys": ["sealing"]})

    assert (found.code, found.pointer) == ("unknown_secret", "/steps/0/with/a")
    assert "keys" in found.hint


ASKS = document({"id": "ok", "approval": {"title": "Pay?", "roles": ["finanse", "agents"]}})


def test_a_role_that_nobody_holds_is_warned_of_with_the_one_that_was_meant():
    found = only(ASKS, roles={"finance", "agents"})

    assert (found.code, found.pointer, found.severity) == ("unknown_role", "/steps/0/approval/roles/0", "warning")
    assert "finance" in found.hint


def test_a_role_that_exists_is_not_warned_of_and_where_roles_are_not_known_none_is():
    assert problems(ASKS, roles={"finanse", "agents"}) == problems(ASKS, roles=None) == []


def test_a_secret_for_another_tool_is_refused():
    found = only(KEYED, secrets={"key": ["http.request"]})

    assert (found.code, found.hint) == ("secret_not_for_tool", "it is for http.request")


# The older form


@pytest.mark.parametrize(
    ("written", "pointer", "code"),
    [
        ({"pipeline": 5}, "/pipeline", "wrong_type"),
        ({"pipeline": [5]}, "/pipeline/0", "wrong_type"),
        ({"pipeline": [{"id": "a"}]}, "/pipeline/0", "missing_kind"),
        ({"pipeline": [{"uses": ""}]}, "/pipeline/0/uses", "invalid_value"),
        ({"pipeline": [{"id": "a", "uses": "echo"}, {"id": "a", "uses": "echo"}]}, "/pipeline/1/id", "duplicate_id"),
        ({"pipeline": [{"uses": "echo", "max_retries": -1}]}, "/pipeline/0/max_retries", "invalid_value"),
        ({"pipeline": [{"uses": "echo", "timeout_seconds": 0}]}, "/pipeline/0/timeout_seconds", "invalid_value"),
        ({"pipeline": [{"uses": "echo", "timeout_seconds": True}]}, "/pipeline/0/timeout_seconds", "invalid_value"),
    ],
)
def test_mistakes_in_the_older_form_are_shown_where_they_were_written(written, pointer, code):
    """Acceptance case 23."""
    found = only(written)

    assert (found.pointer, found.code) == (pointer, code)


def test_the_older_form_becomes_version_1():
    written = {"params": {"x": 1}, "pipeline": [{"uses": "echo", "timeout_seconds": 90, "max_retries": 2}, {"set": {}}]}

    assert normalise(written) == {
        "version": 1,
        "params": {"x": 1},
        "steps": [
            {
                "uses": "echo",
                "timeout": "PT1M30S",
                "retry": {"max_attempts": 3, "backoff": "exponential", "initial": "PT1S", "jitter": True},
            },
            {"set": {}},
        ],
    }


def test_an_empty_pipeline_stays_in_its_form_and_stays_valid():
    written: dict[str, Any] = {"pipeline": []}

    assert normalise(written) == written
    assert problems(normalise(written)) == []


@pytest.mark.parametrize("key", ["true", True])
def test_on_that_a_yaml_1_1_loader_made_true_is_read_with_a_warning(key):
    written = document({"uses": "echo", "retry": {"max_attempts": 2, key: ["limit"]}})

    pipeline = compile_document(written, catalog=CATALOG)

    assert pipeline.steps[0].retry.on == {"limit"}
    assert [(found.pointer, found.severity) for found in pipeline.warnings] == [
        ("/steps/0/retry/true", Severity.WARNING)
    ]
    assert normalise(written)["steps"][0]["retry"] == {"max_attempts": 2, "on": ["limit"]}


# Parameters


def test_params_are_judged_merged_with_pointers_under_params():
    schema = {
        "type": "object",
        "required": ["city", "to"],
        "properties": {"city": {"type": "string"}, "to": {"type": "string", "format": "email"}},
        "additionalProperties": False,
    }
    pipeline = compile_document(document({"set": {}}, params={"city": "x"}, params_schema=schema), catalog=CATALOG)

    found = check_params(pipeline, {"city": 5, "to": "nobody", "citi": 1})

    assert {(each.pointer, each.code) for each in found} == {
        ("/params/city", "wrong_type"),
        ("/params/to", "invalid_value"),
        ("/params/citi", "unknown_field"),
    }
    assert check_params(pipeline, {"to": "me@example.com"}) == []
    assert [each.pointer for each in check_params(pipeline, [])] == ["/params"]


def test_a_hostile_pattern_in_a_schema_takes_linear_time():
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    pipeline = compile_document(document({"set": {}}, params_schema=schema), catalog=CATALOG)

    assert [each.pointer for each in check_params(pipeline, {"a": "a" * 50_000 + "!"})] == ["/params/a"]


# Tools


def test_a_tools_own_retry_is_used_where_the_step_has_none():
    catalog = FakeCatalog(spec("again", SideEffect.PURE, retry={"max_attempts": 5, "backoff": "fixed"}))

    pipeline = compile_document(
        document({"uses": "again"}, {"uses": "again", "retry": {"max_attempts": 1}}), catalog=catalog
    )

    assert [step.retry.max_attempts for step in pipeline.steps] == [5, 1]


def test_a_document_that_is_refused_says_so_in_one_error():
    with pytest.raises(DocumentInvalid, match=r"/steps/0/uses: there is no tool 'nope'"):
        compile_document(document({"uses": "nope"}), catalog=CATALOG)


def test_the_published_schema_is_valid_and_agrees_about_documents():
    schema = document_schema()
    validator = jsonschema_rs.Draft202012Validator(schema)

    assert jsonschema_rs.meta.is_valid(schema)
    assert validator.is_valid(
        document({"id": "a", "uses": "echo", "retry": {"on": ["x"]}, "simulate": [{"output": 1}]})
    )
    assert not validator.is_valid(document({"uses": "echo", "withh": {}}))
    assert not validator.is_valid(document({"uses": "echo", "set": {}}))
    assert not validator.is_valid({"version": 1, "steps": []})


@pytest.mark.parametrize(
    ("condition", "is_warned"),
    [
        ("!steps.a.found", True),
        ("!(params.x) && !(params.y.z)", False),
        ("!(steps.a.found)", False),
        ("true && !steps.a.b[0].c", True),
        ("!length(steps)", False),
    ],
)
def test_a_negation_that_binds_tighter_than_its_dot_is_warned_of(condition, is_warned):
    written = document({"id": "a", "set": {}}, {"if": condition, "set": {}}, params={"x": 1, "y": {}})

    found = [(problem.code, problem.severity) for problem in validate(written, catalog=CATALOG)]

    assert (("negation_first", Severity.WARNING) in found) == is_warned
    assert Severity.ERROR not in [severity for _, severity in found]


def nested_loops(depth, length, **fields):
    inner = {"id": "z" * length, "set": {}}
    for level in range(depth):
        inner = {"id": f"{chr(97 + level)}" * length, "for_each": [1], "steps": [inner], **fields}
    return document(inner)


@pytest.mark.parametrize(
    ("written", "is_refused"),
    [
        (nested_loops(3, 90), False),
        (nested_loops(4, 90), True),
        (nested_loops(2, 90, retry={"max_attempts": 2}), True),
        (nested_loops(15, 15), False),
        (nested_loops(17, 15), True),
    ],
)
def test_a_path_that_would_not_fit_into_the_journal_is_refused(written, is_refused):
    assert [found.code for found in validate(written, catalog=CATALOG)] == ["path_too_long"] * is_refused
