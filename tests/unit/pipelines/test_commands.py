"""The commands and the port: thin skins whose form others rely on."""

import io
import json
from types import SimpleNamespace
from typing import cast

import pytest
from django.core.management import CommandError, call_command

from pipelines.document import DocumentInvalid
from pipelines.port import PipelinePort, TemplateRefused
from pipelines.servers import offers
from scheduling.ports import pipeline_port


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a command; gives its output and its exit status."""

    def run(name: str, *arguments: str, stdin: str = "") -> tuple[str, int]:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(stdin.encode())))
        out = io.StringIO()
        try:
            call_command(name, *arguments, stdout=out)
        except SystemExit as ended:
            return out.getvalue(), int(str(ended.code))
        except CommandError as refused:
            return str(refused), refused.returncode
        return out.getvalue(), 0

    return run


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "pipeline.yaml"
        path.write_text(text)
        return str(path)

    return write


GOOD = """
version: 1
steps:
  - {id: a, uses: far.away, with: {n: "${params.n}"}, simulate: {output: {n: 3}, delay: PT5S}}
outputs: {n: "${steps.a.n}"}
assert: ["outputs.n == 3"]
"""


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ({"expression": "a.b", "context": {"a": {"b": 1}}, "strict": True}, {"result": 1}),
        ({"expression": "a > 1", "context": {"a": 2}}, {"result": True}),
        ({"expression": "`[1]`", "strict": True}, {"result": [1]}),
        ({"expression": "@", "context": [1, 2], "strict": True}, {"result": [1, 2]}),
        ({"expression": "Hi ${a}", "context": {"a": 2}}, {"result": "Hi 2"}),
        ({"expression": "contains('${', '$')"}, {"result": True}),
    ],
)
def test_evaluate_answers_a_line_by_a_line(call, line, answer):
    out, status = call("evaluate", "--jsonl", stdin=json.dumps(line) + "\n")

    assert (json.loads(out), status) == (answer, 0)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"expression": "a.", "strict": true}', "syntax"),
        ('{"expression": "a > 1", "strict": true}', "syntax"),
        ('{"expression": "nope(a)", "strict": true}', "unknown-function"),
        ('{"expression": "upper(a)", "strict": true}', "unknown-function"),
        ('{"expression": "length(a, b)", "strict": true}', "invalid-arity"),
        ('{"expression": "abs(a)", "context": {"a": "x"}, "strict": true}', "invalid-type"),
        ('{"expression": "a[::0]", "strict": true}', "invalid-value"),
        ('{"expression": "upper(a)"}', "bad_argument"),
        ('{"expression": 5}', "malformed"),
        ("{", "malformed"),
        ("[]", "malformed"),
    ],
)
def test_evaluate_answers_errors_by_name(call, line, code):
    out, _ = call("evaluate", "--jsonl", stdin=line)

    assert json.loads(out)["error"]["code"] == code


def test_evaluate_takes_an_expression_and_a_context(call):
    assert call("evaluate", "a[0]", "--context", '{"a": [7]}') == ("7\n", 0)
    assert call("evaluate", "a[", "--context", "{}")[1] == 1
    assert call("evaluate", "a", "--context", "[")[1] == 2


def test_simulate_shows_the_trace_and_ends_with_0(call, write):
    out, status = call("simulate", write(GOOD))

    assert status == 0
    assert "PT5S  succeeded   a (far.away) [simulated]" in out
    assert "assert holds: outputs.n == 3" in out


def test_simulate_prints_one_json_object(call, write):
    out, status = call("simulate", write(GOOD), "--json", "--params", '{"n": 9}', "--now", "2025-01-06T06:00:00Z")

    answer = json.loads(out)
    assert (status, answer["state"], answer["steps"][0]["input"]) == (0, "succeeded", {"n": 9})


@pytest.mark.parametrize(
    ("document", "arguments", "status"),
    [
        (GOOD.replace("== 3", "== 4"), (), 1),
        (GOOD.replace("{output: {n: 3}, delay: PT5S}", "{error: {code: x}}"), (), 1),
        (GOOD, ("--cancel-at", "PT2S"), 1),
        (GOOD.replace('["outputs.n == 3"]', "[]"), ("--cancel-at", "PT2S"), 0),
        (GOOD.replace("simulate", "simulat"), (), 2),
        ("steps: [", (), 2),
        (GOOD, ("--params", "[]"), 2),
        (GOOD, ("--cancel-at", "soon"), 2),
    ],
)
def test_simulate_tells_by_its_status_how_it_ended(call, write, document, arguments, status):
    assert call("simulate", write(document), *arguments)[1] == status


def test_simulate_prints_a_problem_document_for_an_invalid_one(call, write):
    out, status = call("simulate", write("version: 1\nsteps: [{uses: nope}]"), "--json")

    answer = json.loads(out)
    assert (status, answer["state"], answer["status"]) == (2, "invalid", 422)
    assert answer["problems"][0]["pointer"] == "/steps/0/uses"


def test_simulate_answers_a_line_by_a_line(call):
    lines = [
        {"document": {"version": 1, "steps": [{"set": {"n": "${params.n}"}}]}, "params": {"n": 1}},
        {"document": {"version": 1, "steps": []}},
        {"document": {"version": 1, "steps": [{"set": {}}]}, "cancel_at": "PT0S"},
        {"document": {}, "params": 5},
        {"document": {"version": 1, "steps": [{"set": {"at": "${now}"}}]}, "now": "2025-01-06T08:00:00+02:00"},
        {"document": {}, "now": 5},
    ]

    out, status = call("simulate", "--jsonl", stdin="\n".join(map(json.dumps, lines)))

    succeeded, invalid, canceled, malformed, then, never = map(json.loads, out.splitlines())
    assert status == 0
    assert succeeded["steps"][0]["output"] == {"n": 1}
    assert (invalid["state"], invalid["problems"][0]["code"]) == ("invalid", "empty")
    assert canceled["state"] == "canceled"
    assert malformed["error"]["code"] == never["error"]["code"] == "malformed"
    assert then["steps"][0]["output"] == {"at": "2025-01-06T06:00:00Z"}


def test_a_line_that_breaks_something_inside_is_answered_and_so_are_the_others(call, capsys, monkeypatch):
    def simulate(document, **_):
        if document is None:
            raise ZeroDivisionError("of ours")
        return {"state": "succeeded"}

    monkeypatch.setattr("pipelines.management.simulation_lines.simulate", simulate)

    out, status = call("simulate", "--jsonl", stdin='{}\n{"document": {}}\n')

    broken, answered = map(json.loads, out.splitlines())
    assert (broken["state"], broken["error"]["code"], broken["error"]["class"]) == (
        "failed",
        "internal_error",
        "internal",
    )
    assert (answered["state"], status) == ("succeeded", 0)
    assert "ZeroDivisionError: of ours" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--cancel-at", "P99999999999999D"), ("--now", "9999-12-31T23:30:00-05:00")])
def test_simulate_refuses_what_no_calendar_has(call, write, option):
    assert call("simulate", write(GOOD), *option)[1] == 2


def test_validatepipeline_prints_each_problem_with_its_place(call, write):
    assert call("validatepipeline", write(GOOD)) == ("The document is valid.\n", 0)

    out, status = call("validatepipeline", write("version: 1\nsteps: [{uses: log.wrte}]"))
    assert status == 2
    assert "/steps/0/uses: unknown_tool: there is no tool 'log.wrte' (did you mean 'log.write'?)" in out
    assert call("validatepipeline", "/nowhere/at/all")[1] == 2


def test_validatepipeline_names_the_secrets_that_it_cannot_look_for(call, write):
    step = {"uses": "http.request", "with": {"url": "https://example.com", "headers": {"a": "${secrets.zz}"}}}
    document = {"version": 1, "steps": [step], "finally": [{**step, "with": {"url": "https://${secrets.aa}"}}]}

    out, status = call("validatepipeline", write(json.dumps(document)))

    assert (out, status) == ("The document is valid.\nSecrets are checked when it is saved: aa, zz.\n", 0)


@pytest.fixture
def no_servers(monkeypatch):
    """A port whose catalog is that of the host alone: no tool server is looked for."""
    monkeypatch.setattr(offers, "look_again", lambda _catalog: None)


@pytest.mark.usefixtures("no_servers")
def test_scheduling_finds_the_port_by_its_path():
    port = pipeline_port()

    assert isinstance(port, PipelinePort)
    (problem,) = port.validate({"version": 1, "steps": [{"uses": "nope"}]}, agent_id="a")
    assert (problem["pointer"], problem["severity"]) == ("/steps/0/uses", "error")
    assert port.normalise({"pipeline": [{"set": {}}]}) == {"version": 1, "steps": [{"set": {}}]}
    assert port.parse("a: on") == {"a": "on"}
    assert port.render("${params.city}-x", {"params": {"city": "B"}}) == "B-x"


@pytest.mark.usefixtures("no_servers")
def test_the_port_refuses_by_value_errors_with_problems():
    port = PipelinePort()

    for refused in (lambda: port.parse("a: ["), lambda: port.normalise([]), lambda: port.render("${", {})):
        with pytest.raises((DocumentInvalid, TemplateRefused)) as caught:
            refused()
        assert issubclass(caught.type, ValueError)
        assert cast(DocumentInvalid, caught.value).problems
    with pytest.raises(TemplateRefused):
        port.render("a ${params.x}", {"params": {}})


@pytest.mark.usefixtures("no_servers")
def test_the_port_checks_params():
    written = {"version": 1, "steps": [{"set": {}}], "params_schema": {"required": ["city"]}}

    (problem,) = PipelinePort().check_params(written, {})

    assert (problem["pointer"], problem["code"]) == ("/params", "missing_field")
    assert PipelinePort().check_params(written, {"city": 1}) == []
