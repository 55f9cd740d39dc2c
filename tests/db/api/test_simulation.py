"""Simulation over the API: by a real child, bounded in time, in memory and in number."""

from typing import Any

import pytest

from pipelines.simulation import child
from tests.db.api.gateway import Gateway, assert_problem, gateway_of, pointers
from tests.db.servers.conftest import fresh_catalog as fresh_catalog
from tests.db.servers.support import listed, registered
from tests.factories import TaskFactory, TaskRevisionFactory

pytestmark = pytest.mark.django_db

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "params": {"to": "me@example.com", "n": 2},
    "steps": [
        {"id": "nap", "wait": {"for": "PT1H"}},
        {"id": "mail", "uses": "email.send", "with": {"to": "${params.to}", "subject": "Tea", "text": "now"}},
    ],
    "outputs": {"n": "${params.n}", "who": "${event.who}"},
    "assert": ["outputs.n == 3", "outputs.who == 'ann'", "outputs.n > 9"],
}
# Within the limits of a document, and many seconds of work.
ENDLESS: dict[str, Any] = {
    "version": 1,
    "steps": [
        {
            "id": "turn",
            "while": "true",
            "max_iterations": 10_000,
            "steps": [{"id": "n", "set": {"n": "${length(range(`0`, `5000`))}"}}],
        }
    ],
    "limits": {"max_steps": 10_000},
}


def test_a_document_is_run_in_virtual_time_and_its_asserts_are_answered(api: Gateway):
    answer = api.post(
        "pipelines/simulate",
        {
            "document": DOCUMENT,
            "params": {"n": 3},
            "event": {"who": "ann"},
            "now": "2030-01-01T00:00:00Z",
            "expressions": True,
        },
    )

    told = answer.json()
    assert answer.status_code == 200, told
    assert (told["state"], told["outputs"], told["error"]) == ("succeeded", {"n": 3, "who": "ann"}, None)
    assert [(step["path"], step["at"], step["simulated"]) for step in told["steps"]] == [
        ("nap", "PT1H", True),
        ("mail", "PT1H", True),
    ]
    assert told["steps"][0]["output"] == {"until": "2030-01-01T01:00:00Z"}
    assert {"expression": "params.to", "value": "me@example.com"} in told["steps"][1]["expressions"]
    assert {"expression": "params.n", "value": 3} in told["expressions"]
    assert [each["ok"] for each in told["asserts"]] == [True, True, False]


def test_text_is_taken_and_the_run_canceled_when_asked(api: Gateway):
    text = "version: 1\nsteps:\n  - {id: nap, wait: {for: PT1H}}\n"

    told = api.post("pipelines/simulate", {"document": text, "cancel_at": "PT5M"}).json()

    assert (told["state"], told["error"]["code"]) == ("canceled", "canceled")
    assert "expressions" not in told


def test_an_invalid_document_is_answered_with_its_problems(api: Gateway):
    answer = api.post("pipelines/simulate", {"document": {"version": 1, "steps": [{"uses": "no.such"}]}})
    text = api.post("pipelines/simulate", {"document": "steps: [\n"})

    assert answer.status_code == text.status_code == 200
    assert answer.json()["state"] == text.json()["state"] == "invalid"
    (problem, *_) = answer.json()["problems"]
    assert (problem["pointer"], problem["code"]) == ("/steps/0/uses", "unknown_tool")
    assert text.json()["problems"]


def test_a_task_is_simulated_with_params_laid_over_its_own(api: Gateway):
    task = TaskFactory(agent=api.agent, params={"n": 3, "to": "her@example.com"})
    task.current_revision = TaskRevisionFactory(task=task, document=DOCUMENT, number=2)
    task.save()

    told = api.post(f"tasks/{task.pk}/simulate", {"params": {"to": "him@example.com"}, "event": {"who": "bob"}}).json()

    assert [each["ok"] for each in told["asserts"]] == [True, False, False]
    assert told["steps"][1]["input"]["to"] == "him@example.com"
    assert task.runs.count() == 0


def test_a_task_of_another_is_not_there_and_fields_are_strict(api: Gateway):
    assert_problem(api.post(f"tasks/{TaskFactory().pk}/simulate"), 404, "not_found")
    refused = api.post("pipelines/simulate", {"document": DOCUMENT, "params": [], "cancel_at": 5, "simulate": True})
    assert pointers(assert_problem(refused, 422, "not_valid")) == {"/params", "/cancel_at", "/simulate"}
    assert_problem(gateway_of("runs:read").post("pipelines/simulate", {"document": DOCUMENT}), 403, "scope_missing")


def test_one_that_takes_too_long_is_ended_and_told(api: Gateway, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(child, "SECONDS", 1)

    answer = api.post("pipelines/simulate", {"document": ENDLESS})

    assert "1 second" in assert_problem(answer, 422, "simulation_too_long")["detail"]


def test_one_that_needs_more_memory_than_it_may_have_is_told(api: Gateway, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(child, "MEMORY", 100)

    assert_problem(api.post("pipelines/simulate", {"document": DOCUMENT}), 422, "simulation_too_large")


def test_more_at_a_time_than_may_are_asked_to_come_again(api: Gateway):
    for _ in range(child.AT_A_TIME):
        assert child._turns.acquire(blocking=False)
    try:
        answer = api.post("pipelines/simulate", {"document": DOCUMENT})
    finally:
        for _ in range(child.AT_A_TIME):
            child._turns.release()

    assert_problem(answer, 503, "simulations_busy")
    assert int(answer["Retry-After"]) > 0
    assert api.post("pipelines/simulate", {"document": DOCUMENT, "event": {"who": "ann"}}).status_code == 200


def test_a_tool_of_a_tool_server_is_known_and_simulated(fresh_catalog: None):
    registered(listed("read"))
    document = {"version": 1, "steps": [{"id": "read", "uses": "mcp:files/read"}]}

    told = gateway_of("tasks:read").post("pipelines/simulate", {"document": document}).json()

    assert told["state"] == "succeeded", told
    assert [(step["uses"], step["simulated"]) for step in told["steps"]] == [("mcp:files/read", True)]
