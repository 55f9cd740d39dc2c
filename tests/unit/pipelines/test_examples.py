"""The example documents, through the checks and through simulation with the tools of this host."""

from pathlib import Path

import orjson
import pytest

from pipelines.document import Severity, parse, validate
from pipelines.simulation import ended_as_wanted, simulate
from pipelines.tools import registry
from tests.unit.pipelines.world import START

EXAMPLES = Path(__file__).parents[2] / "examples"
DECLARED = {"weather-api.get_forecast": {"temperature": 30}, "telegram.send_message": {"ok": True}}


@pytest.fixture
def catalog(settings):
    settings.ORDINAUT_SIMULATED_TOOLS = orjson.dumps(DECLARED).decode()
    registry.reset()
    yield registry.catalog()
    registry.reset()


def read(name: str):
    found = parse((EXAMPLES / name).read_bytes())
    return found["pipeline"] if name.endswith("request.json") else found


@pytest.mark.parametrize("name", ["morning-briefing.yaml", "morning-briefing.request.json", "predecessor-form.json"])
def test_the_examples_have_no_errors(catalog, name):
    found = validate(read(name), catalog=catalog)

    assert [problem.code for problem in found if problem.severity is Severity.ERROR] == []


@pytest.mark.parametrize("name", ["morning-briefing.yaml", "morning-briefing.request.json"])
def test_the_morning_briefing_is_simulated(catalog, name):
    answer = simulate(read(name), catalog=catalog, now=START)

    told = {step["path"]: step for step in answer["steps"]}
    titles = ", ".join(item["title"] for item in told["events"]["output"]["items"])
    assert ended_as_wanted(answer)
    assert answer["outputs"]["text"] == "Weather: Sunny (22°C)"
    assert told["umbrella"]["state"] == "skipped"
    assert told["summary"]["input"]["text"].endswith(f"events: {titles}")
    assert all(step["simulated"] for path, step in told.items() if path != "umbrella")


def test_the_older_form_is_simulated_with_declared_tools(catalog):
    answer = simulate(read("predecessor-form.json"), catalog=catalog, now=START)

    assert [step["state"] for step in answer["steps"]] == ["succeeded", "succeeded"]
    assert answer["steps"][1]["input"] == {"message": "It's hot today: 30°C"}


def test_the_older_form_needs_its_tools():
    found = validate(read("predecessor-form.json"), catalog=registry.catalog())

    assert [(problem.pointer, problem.code) for problem in found] == [
        ("/pipeline/0/uses", "unknown_tool"),
        ("/pipeline/1/uses", "unknown_tool"),
    ]
