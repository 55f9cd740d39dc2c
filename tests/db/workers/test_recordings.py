"""A run's recording in the API, in the console and as a command: what it gives can be simulated as it stands."""

from collections.abc import Callable
from io import BytesIO, StringIO
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from pipelines.simulation import simulate
from pipelines.tools.registry import catalog
from scheduling.agents.roles import Role, assign
from scheduling.models import Run
from tests.db.api.gateway import gateway_of
from tests.db.workers.test_event_publish import go_on
from tests.factories import OperatorFactory
from tests.workers_support import due_work, run_of

pytestmark = pytest.mark.django_db(transaction=True)

SAY = {"id": "say", "uses": "log.write", "with": {"message": "${item}"}}
LOGGED = {
    "version": 1,
    "steps": [
        {"id": "each", "for_each": "${params.names}", "steps": [SAY]},
        {"id": "big", "uses": "log.write", "with": {"message": "done"}},
    ],
    "outputs": {"n": "${length(steps.each)}"},
}


@pytest.fixture
def ended() -> Run:
    work = due_work(LOGGED, params={"names": ["a", "b"]})
    go_on()
    return run_of(work)


@pytest.fixture
def call_simulate(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """The answer of `simulate --jsonl` to a line."""

    def call(line: str) -> Any:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(line.encode())))
        out = StringIO()
        call_command("simulate", "--jsonl", stdout=out)
        return orjson.loads(out.getvalue())

    return call


def simulated(recording: dict[str, Any]) -> dict[str, Any]:
    return simulate(recording["document"], params=recording["params"], event=recording["event"], catalog=catalog())


def test_the_command_prints_a_line_that_simulate_reads(ended: Run):
    out = StringIO()
    call_command("recordfixtures", str(ended.pk), "--jsonl", stdout=out)

    answer = simulated(orjson.loads(out.getvalue()))

    assert (answer["state"], answer["outputs"]) == ("succeeded", {"n": 2})
    assert {step["simulated"] for step in answer["steps"] if step["uses"]} == {True}


def test_a_line_has_the_instant_of_the_run(call_simulate: Any):
    work = due_work({"version": 1, "steps": [{"set": {}}], "outputs": {"at": "${now}"}})
    go_on()
    run = run_of(work)
    out = StringIO()
    call_command("recordfixtures", str(run.pk), "--jsonl", stdout=out)

    answered = call_simulate(out.getvalue())

    assert answered["outputs"] == run.output
    assert gateway_of(agent=run.agent).get(f"runs/{run.pk}/fixtures").json()["now"] == run.output["at"]


@pytest.mark.parametrize(("given", "words"), [("nothing", "no id of a run"), ("0" * 32, "there is no run")])
def test_the_command_says_what_is_wrong(given: str, words: str):
    with pytest.raises(CommandError, match=words):
        call_command("recordfixtures", given)


def test_the_console_offers_it_for_download(ended: Run):
    viewer = OperatorFactory()
    assign(viewer, Role.VIEWER)
    client = Client()
    client.force_login(viewer)

    page = client.get(f"/admin/scheduling/run/{ended.pk}/change/").content.decode()
    answer = client.get(f"/admin/scheduling/run/{ended.pk}/fixtures/")

    assert f'href="/admin/scheduling/run/{ended.pk}/fixtures/"' in page
    assert answer["Content-Disposition"] == f'attachment; filename="run-{ended.pk}.json"'
    assert simulate(orjson.loads(answer.content), params=ended.params, catalog=catalog())["outputs"] == {"n": 2}


def test_the_api_gives_it_to_whoever_may_see_the_run(ended: Run):
    recording = gateway_of(agent=ended.agent).get(f"runs/{ended.pk}/fixtures").json()

    assert (recording["params"], recording["event"], recording["notes"]) == ({"names": ["a", "b"]}, None, [])
    assert simulated(recording)["outputs"] == {"n": 2}
    assert gateway_of().get(f"runs/{ended.pk}/fixtures").status_code == 404
