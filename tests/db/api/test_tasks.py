"""Tasks through the API: the whole life of one, and what is refused."""

from pathlib import Path

import orjson
import pytest

from scheduling.models import AuditEntry, Schedule, Task
from tests.db.api.gateway import DAILY, NOTE, assert_problem, gateway_of, pointers

pytestmark = pytest.mark.django_db

EXAMPLES = Path(__file__).parents[2] / "examples"


def create(api, **changes):
    answer = api.post("tasks", {"key": "note", "pipeline": NOTE, **changes})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_the_morning_briefing_is_accepted_as_it_is(api):
    request = orjson.loads((EXAMPLES / "morning-briefing.request.json").read_bytes())

    answer = api.post("tasks", request)

    assert answer.status_code == 201, answer.content
    task = answer.json()
    assert answer["Location"] == f"/api/v1/tasks/{task['id']}"
    assert answer["ETag"] == '"1"'
    assert (task["key"], task["state"], task["priority"], task["overlap"]) == ("morning-briefing", "active", 3, "skip")
    (schedule,) = task["schedules"]
    assert schedule["misfire"] == {"policy": "last", "grace": "PT30M", "limit": 100, "window": None}
    assert schedule["next_fire_at"].endswith("Z")
    preview = api.get(f"schedules/{schedule['id']}/preview?count=5").json()
    assert len(preview["next"]) == 5
    assert all("T08:00:00+0" in each["local"] for each in preview["next"])


def test_the_form_of_the_predecessor_is_accepted(api, settings):
    from pipelines.tools import registry

    document = orjson.loads((EXAMPLES / "predecessor-form.json").read_bytes())
    settings.ORDINAUT_SIMULATED_TOOLS = '{"weather-api.get_forecast": {"temperature": 30}, "telegram.send_message": {}}'
    registry.reset()
    try:
        task = create(api, pipeline=document)
    finally:
        registry.reset()

    assert task["pipeline"]["version"] == 1


def test_a_task_is_read_changed_and_archived(api):
    task = create(api, schedules=[DAILY], labels={"team": "home"})
    address = f"tasks/{task['id']}"

    read = api.get(address)
    changed = api.patch(address, {"priority": 2}, headers={"If-Match": read["ETag"]})
    stale = api.patch(address, {"priority": 3}, headers={"If-Match": read["ETag"]})
    replaced = api.put(address, {"key": "note", "pipeline": NOTE}, headers={"If-Match": changed["ETag"]})
    archived = api.delete(address)

    assert read.json() == {**task}
    assert (changed.json()["priority"], changed["ETag"]) == (2, '"2"')
    assert_problem(stale, 412, "version_mismatch")
    assert (replaced.json()["priority"], replaced.json()["labels"]) == (5, {})
    assert archived.status_code == 204
    assert api.get(address).json()["state"] == "archived"
    again = assert_problem(api.post(f"{address}/run"), 409, "illegal_transition")
    assert again["allowed_actions"] == []


def test_a_task_is_paused_snoozed_and_resumed(api):
    task = create(api, schedules=[DAILY])
    address = f"tasks/{task['id']}"

    paused = api.post(f"{address}/pause", {"reason": "holiday", "until": "2099-01-01T00:00:00Z"}).json()
    resumed = api.post(f"{address}/resume").json()

    assert (paused["state"], paused["pause_reason"], paused["paused_until"]) == (
        "paused",
        "holiday",
        "2099-01-01T00:00:00Z",
    )
    assert paused["schedules"][0]["next_fire_at"] is None
    assert paused["allowed_actions"] == ["run", "update", "pause", "resume", "archive"]
    assert resumed["state"] == "active"
    assert resumed["schedules"][0]["next_fire_at"] is not None


def test_a_changed_pipeline_is_a_new_revision(api):
    task = create(api)
    other = {**NOTE, "steps": [{"id": "other", "uses": "log.write", "with": {"message": "bye"}}]}

    api.patch(f"tasks/{task['id']}", {"pipeline": other})

    page = api.get(f"tasks/{task['id']}/revisions").json()
    assert [revision["number"] for revision in page["items"]] == [2, 1]
    assert page["items"][0]["created_by"] == f"agent:{api.agent.name}"


def test_a_pipeline_may_be_yaml_text(api):
    task = create(api, pipeline="version: 1\nsteps:\n  - uses: log.write\n    with: {message: hello}\n")

    assert task["pipeline"]["steps"][0]["uses"] == "log.write"


def test_every_problem_of_a_task_comes_at_once_with_its_place(api):
    wrong = {
        "key": "no spaces",
        "colour": "blue",
        "pipeline": {"version": 1, "steps": [{"uses": "http.requst", "with": {"url": "${parms.url}"}}]},
        "schedules": [DAILY, {**DAILY, "expression": "0 25 * * *"}],
        "retry": {"backoff": "exponetial"},
    }

    problem = assert_problem(api.post("tasks", wrong), 422, "not_valid")

    assert pointers(problem) >= {
        "/key",
        "/colour",
        "/pipeline/steps/0/uses",
        "/schedules/1/expression",
        "/retry/backoff",
    }
    by_pointer = {error["pointer"]: error for error in problem["errors"]}
    assert by_pointer["/pipeline/steps/0/uses"]["code"] == "unknown_tool"
    assert "http.request" in by_pointer["/pipeline/steps/0/uses"]["hint"]
    assert not Task.objects.exists()
    assert not Schedule.objects.exists()
    assert not AuditEntry.objects.exclude(action="token.issue").exists()


def test_a_key_in_use_is_a_conflict(api):
    create(api)

    problem = assert_problem(api.post("tasks", {"key": "note", "pipeline": NOTE}), 409, "key_taken")

    assert pointers(problem) == {"/key"}


def test_tasks_are_listed_in_pages_that_lose_and_double_nothing(api):
    keys = [f"task-{number}" for number in range(7)]
    for key in keys:
        create(api, key=key)
    gateway_of().post("tasks", {"key": "foreign", "pipeline": NOTE})

    first = api.get("tasks?limit=3").json()
    second = api.get(_path(first["next"])).json()
    third = api.get(_path(second["next"])).json()
    back = api.get(_path(third["prev"])).json()

    seen = [task["key"] for page in (first, second, third) for task in page["items"]]
    assert seen == keys[::-1]
    assert (first["prev"], third["next"]) == (None, None)
    assert back["items"] == second["items"]
    assert api.get(_path(back["prev"])).json()["items"] == first["items"]


def test_tasks_are_found_by_key_and_state(api):
    create(api, key="one")
    two = create(api, key="two")
    api.post(f"tasks/{two['id']}/pause")

    assert [task["key"] for task in api.get("tasks?key=one").json()["items"]] == ["one"]
    assert [task["key"] for task in api.get("tasks?state=paused").json()["items"]] == ["two"]


def test_a_run_is_started_with_params_of_its_own(api):
    task = create(api, params={"city": "Chisinau", "limit": 5})

    answer = api.post(f"tasks/{task['id']}/run", {"params": {"limit": 7}, "simulate": True})

    run = answer.json()
    assert answer.status_code == 202
    assert answer["Location"] == f"/api/v1/runs/{run['id']}"
    assert (run["task"], run["state"], run["trigger"], run["attempt"], run["simulated"]) == (
        task["id"],
        "queued",
        "manual",
        1,
        True,
    )
    assert run["params"] == {"city": "Chisinau", "limit": 7}
    assert run["scheduled_for"] is None


def test_params_that_give_no_key_are_refused(api):
    task = create(api, dedupe={"key": "${params.city}", "window": "PT1H"})

    missing = assert_problem(api.post(f"tasks/{task['id']}/run"), 422, "not_valid")
    first = api.post(f"tasks/{task['id']}/run", {"params": {"city": "Chisinau"}}).json()
    second = api.post(f"tasks/{task['id']}/run", {"params": {"city": "Chisinau"}}).json()

    assert pointers(missing) == {"/params"}
    assert (first["state"], second["state"], second["skip_reason"]) == ("queued", "skipped", "duplicate")


def test_params_that_break_the_schema_are_refused_before_a_run_exists(api):
    document = {
        **NOTE,
        "params_schema": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
    }
    task = create(api, pipeline=document)

    problem = assert_problem(api.post(f"tasks/{task['id']}/run", {"params": {"city": 5}}), 422, "not_valid")

    assert all(pointer.startswith("/params") for pointer in pointers(problem))
    assert api.get("runs").json()["items"] == []


def _path(url: str) -> str:
    return url.removeprefix("http://testserver/api/v1/")


def test_a_document_may_stand_under_its_name(api):
    made = api.post("tasks", {"key": "wrapped", "title": "Wrapped", "pipeline": {"document": NOTE}}).json()
    plain = api.post("tasks", {"key": "plain", "title": "Plain", "pipeline": NOTE}).json()

    assert made["pipeline"] == plain["pipeline"]
    assert api.patch(f"tasks/{made['id']}", {"pipeline": {"document": NOTE}}).status_code == 200
