"""Runs, steps and events through the API."""

import threading
import time
from datetime import timedelta

import orjson
import pytest
from django.db import connection

from scheduling.instants import database_now
from scheduling.models import DueWork, Event, Outbox, Run
from scheduling.runs.states import RunState
from tests.db.api.gateway import NOTE, assert_problem, gateway_of, pointers
from tests.factories import AgentFactory, RunFactory, StepRunFactory, TaskFactory, WorkerFactory
from workers.models import Artifact

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(api):
    return TaskFactory(agent=api.agent)


def lease(run_id) -> None:
    worker = WorkerFactory()
    DueWork.objects.filter(pk=run_id).update(
        lease_owner=worker.boot_id, lease_epoch=1, claimed_at=database_now(), attempt=2, started_at=database_now()
    )


def test_a_run_that_a_worker_holds_is_running(api, task):
    run = api.post(f"tasks/{task.pk}/run").json()
    lease(run["id"])

    shown = api.get(f"runs/{run['id']}").json()

    assert (shown["state"], shown["attempt"], shown["allowed_actions"]) == ("running", 2, ["cancel"])
    assert shown["started_at"] is not None


def test_the_runs_that_a_run_has_started_are_listed_by_it(api, task):
    parent, child = (api.post(f"tasks/{task.pk}/run").json()["id"] for _ in range(2))
    Run.objects.filter(pk=child).update(parent=parent)

    listed = api.get(f"runs?parent={parent}").json()["items"]

    assert [(each["id"], each["parent"]) for each in listed] == [(child, parent)]


def test_a_run_says_when_it_may_start(api, task):
    run = api.post(f"tasks/{task.pk}/run").json()
    DueWork.objects.filter(pk=run["id"]).update(available_at="2100-01-02T03:04:05Z")

    assert api.get(f"runs/{run['id']}").json()["available_at"] == "2100-01-02T03:04:05Z"
    api.post(f"runs/{run['id']}/cancel")
    assert api.get(f"runs/{run['id']}").json()["available_at"] is None


def test_a_queued_run_is_canceled_and_cannot_be_canceled_again(api, task):
    run = api.post(f"tasks/{task.pk}/run").json()

    canceled = api.post(f"runs/{run['id']}/cancel", {"reason": "wrong"})
    again = assert_problem(api.post(f"runs/{run['id']}/cancel"), 409, "illegal_transition")

    assert canceled.json()["state"] == "canceled"
    assert again["allowed_actions"] == []


def test_a_failed_run_is_retried(api, task):
    dead = RunFactory(task=task, dead=True)

    before = api.get(f"runs/{dead.pk}").json()
    retried = api.post(f"runs/{dead.pk}/retry")

    assert (before["state"], before["cause"], before["allowed_actions"]) == ("failed", "permanent", ["retry"])
    assert before["error"] == {"code": "refused", "class": "permanent", "detail": "no"}
    assert (retried.status_code, retried.json()["state"]) == (202, "queued")


def test_runs_are_filtered(api, task):
    other = TaskFactory(agent=api.agent)
    early = RunFactory(task=task, succeeded=True)
    boundary = database_now() + timedelta(hours=1)
    queued = api.post(f"tasks/{task.pk}/run").json()
    elsewhere = RunFactory(task=other, dead=True)

    def found(query):
        return {item["id"] for item in api.get(f"runs?{query}").json()["items"]}

    assert found(f"task={task.pk}") == {str(early.pk), queued["id"]}
    assert found("state=failed") == {str(elsewhere.pk)}
    assert found(f"state=queued&task={task.pk}") == {queued["id"]}
    assert found("trigger=schedule") == set()
    assert found(f"created_after={boundary:%Y-%m-%dT%H:%M:%SZ}") == set()
    assert len(found(f"created_before={boundary:%Y-%m-%dT%H:%M:%SZ}")) == 3


def test_waiting_ends_when_the_time_is_over_or_the_run_is(api, task):
    finished = RunFactory(task=task, succeeded=True, output={"text": "done"})
    queued = api.post(f"tasks/{task.pk}/run").json()

    began = time.monotonic()
    at_once = api.get(f"runs/{finished.pk}?wait=30").json()
    late = api.get(f"runs/{queued['id']}?wait=0.3").json()

    assert time.monotonic() - began < 10
    assert at_once["output"] == {"text": "done"}
    assert late["state"] == "queued"


@pytest.mark.django_db(transaction=True)
def test_waiting_sees_the_end_that_another_connection_writes(api):
    task = TaskFactory(agent=api.agent)
    run = RunFactory(task=task)
    answers = []

    def wait() -> None:
        answers.append(api.get(f"runs/{run.pk}?wait=20"))
        connection.close()

    waiter = threading.Thread(target=wait)
    waiter.start()
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED, finished_at=database_now())
    waiter.join(timeout=15)

    assert answers[0].json()["state"] == "succeeded"


def test_steps_are_shown_one_item_an_attempt(api, task):
    run = RunFactory(task=task, succeeded=True)
    StepRunFactory(run=run, path="fetch", attempt=1, state="failed", error={"code": "timeout"})
    StepRunFactory(run=run, path="fetch", attempt=2, input={"url": "x"}, output={"status": 200}, is_simulated=True)
    StepRunFactory(run=run, path="note", uses="", kind="set")

    page = api.get(f"runs/{run.pk}/steps?limit=2").json()
    rest = api.get(page["next"].removeprefix("http://testserver/api/v1/")).json()

    assert [(step["path"], step["attempt"], step["state"]) for step in page["items"]] == [
        ("fetch", 1, "failed"),
        ("fetch", 2, "succeeded"),
    ]
    assert page["items"][0]["error"] == {"code": "timeout"}
    assert (page["items"][1]["output"], page["items"][1]["simulated"]) == ({"status": 200}, True)
    assert (rest["items"][0]["uses"], rest["next"]) == (None, None)


def test_an_event_is_stored_with_its_way_out(api):
    answer = api.post("events", {"topic": "order.paid", "payload": {"amount": 5}})

    event = Event.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {"id": str(event.pk), "topic": "order.paid", "runs": []}
    assert (event.payload, event.agent) == ({"amount": 5}, api.agent)
    assert Outbox.objects.get().event == event


@pytest.mark.parametrize("topic", ["", "a b", ".a", "a.", "a..b", 5, None, "x" * 201, "tópic"])
def test_a_malformed_topic_is_refused(api, topic):
    problem = assert_problem(api.post("events", {"topic": topic}), 422, "not_valid")

    assert pointers(problem) == {"/topic"}
    assert not Event.objects.exists()


def test_tools_are_listed_with_their_schemas(api):
    tools = {tool["name"]: tool for tool in api.get("tools").json()["items"]}

    assert {"http.request", "email.send", "calendar.list_events", "log.write"} <= tools.keys()
    assert tools["email.send"]["input_schema"]["type"] == "object"
    assert api.get("tools/http.request").json() == tools["http.request"]
    assert_problem(api.get("tools/http.requst"), 404, "not_found")


def test_a_pipeline_is_judged_without_being_stored(api):
    good = api.post("pipelines/validate", {"document": NOTE}).json()
    bad = api.post("pipelines/validate", {"document": {"steps": [{"uses": "no.such"}]}}).json()
    text = api.post("pipelines/validate", {"document": "steps: [\n"}).json()
    number = api.post("pipelines/validate", {"document": 5}).json()

    assert good == {"valid": True, "problems": []}
    assert (bad["valid"], bad["problems"][0]["pointer"]) == (False, "/steps/0/uses")
    assert text["valid"] is False
    assert number["valid"] is False
    assert api.get("pipelines/schema").json()["title"].startswith("Ordinaut pipeline")


@pytest.mark.parametrize(
    ("value", "code"), [("a\x00b", "nul_character"), (2**53 + 1, "integer_too_large"), ({"a\x00": 1}, "nul_character")]
)
def test_a_pipeline_with_what_cannot_be_kept_is_judged_by_the_codes_with_which_it_is_refused(api, value, code):
    document = {"version": 1, "steps": [{"set": {"a": value}}]}

    answer = api.post("pipelines/validate", {"document": document})
    refused = api.post("tasks", {"key": "k", "title": "t", "pipeline": document})

    assert answer.status_code == 200
    verdict = answer.json()
    assert (verdict["valid"], [problem["code"] for problem in verdict["problems"]]) == (False, [code])
    assert verdict["problems"][0]["pointer"].startswith("/steps/0/set/a")
    assert [problem["code"] for problem in assert_problem(refused, 422, "not_valid")["errors"]] == [code]


def test_what_stands_beside_a_document_is_refused_as_everywhere(api):
    answer = api.post("pipelines/validate", {"document": NOTE, "note": "\x00"})

    assert [problem["code"] for problem in assert_problem(answer, 422, "not_valid")["errors"]] == ["nul_character"]


def test_workers_and_queues_are_shown(api, task):
    worker = WorkerFactory()
    WorkerFactory(state="stopped")
    api.post(f"tasks/{task.pk}/run")

    workers = api.get("workers").json()["items"]
    queues = api.get("queues").json()["items"]

    assert [shown["id"] for shown in workers] == [str(worker.boot_id)]
    (queue,) = queues
    assert (queue["queue"], queue["due"], queue["running"]) == ("default", 1, 0)
    assert queue["oldest_due_seconds"] >= 0


def test_an_agent_sees_who_it_is(api, task):
    me = api.get("agents/me").json()

    assert me["agent"]["name"] == api.agent.name
    assert me["token"]["prefix"]
    assert me["tasks"] == 1
    assert "digest" not in str(me)


def test_a_token_gives_way_to_a_new_one(api):
    answer = api.post("tokens/rotate")

    assert answer.status_code == 201
    assert answer.json()["token"].startswith("ord_")
    assert_problem(api.get("agents/me"), 401, "invalid_token")


def test_an_agent_manages_others_within_its_own_scopes(db):
    admin = gateway_of("agents:admin", "tasks:read")
    stronger = AgentFactory(scopes=["tasks:write"])

    made = admin.post("agents", {"name": "helper", "scopes": ["tasks:read"], "minimum_interval": "PT5M"})
    token = admin.post(f"agents/{made.json()['id']}/tokens", {"name": "first"})
    beyond = admin.post("agents", {"name": "other", "scopes": ["tasks:write"]})
    borrowed = admin.post(f"agents/{stronger.pk}/tokens", {})

    assert (made.status_code, token.status_code) == (201, 201)
    assert made.json()["minimum_interval"] == "PT5M"
    assert token.json()["token"].startswith("ord_")
    assert_problem(beyond, 403, "forbidden")
    assert_problem(borrowed, 403, "forbidden")


def test_a_large_result_is_served_to_those_who_see_its_run(api, task):
    content = {"text": "x" * 40_000}
    artifact = Artifact.objects.create(digest="a" * 64, content=orjson.dumps(content), size=40_011)
    step = StepRunFactory(run=RunFactory(task=task, succeeded=True), output=None, output_artifact=artifact.digest)
    other = RunFactory(task=task, succeeded=True)
    stranger = gateway_of()

    (shown,) = api.get(f"runs/{step.run_id}/steps").json()["items"]
    served = api.get(f"runs/{step.run_id}/artifacts/{shown['artifact']}")

    assert (served.status_code, served.json()) == (200, content)
    assert_problem(api.get(f"runs/{other.pk}/artifacts/{artifact.digest}"), 404, "not_found")
    assert_problem(stranger.get(f"runs/{step.run_id}/artifacts/{artifact.digest}"), 404, "not_found")
