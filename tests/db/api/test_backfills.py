"""Backfills through the API."""

from typing import Any

import pytest

from scheduling.backfills.pacing import BackfillPacer
from scheduling.models import Backfill, Run, Schedule
from tests.db.api.gateway import NOTE, Gateway, assert_problem, gateway_of, pointers
from tests.factories import AgentFactory, BackfillFactory

pytestmark = pytest.mark.django_db

DAILY = {"kind": "cron", "expression": "0 8 * * *", "timezone": "Europe/Chisinau", "starts_at": "2026-01-01T00:00:00"}
WEEK = {"start": "2026-03-02T00:00:00", "end": "2026-03-08T23:59:59"}


@pytest.fixture
def schedule(api: Gateway) -> dict[str, Any]:
    task = api.post("tasks", {"key": "note", "pipeline": NOTE, "schedules": [DAILY]}).json()
    found: dict[str, Any] = task["schedules"][0]
    return found


def test_a_range_is_counted_before_it_is_run(api, schedule):
    answer = api.post(f"schedules/{schedule['id']}/backfills/preview", WEEK)

    assert answer.status_code == 200
    assert answer.json() == {
        "start": "2026-03-01T22:00:00Z",
        "end": "2026-03-08T21:59:59Z",
        "occurrence_count": 7,
        "ran_count": 0,
        "start_count": 7,
        "first": {"local": "2026-03-02T08:00:00+02:00", "utc": "2026-03-02T06:00:00Z"},
        "last": {"local": "2026-03-08T08:00:00+02:00", "utc": "2026-03-08T06:00:00Z"},
    }
    assert not Backfill.objects.exists()


def test_the_preview_of_an_empty_range_is_no_error(api, schedule):
    empty = {"start": "2026-03-02T09:00:00", "end": "2026-03-02T10:00:00"}

    answer = api.post(f"schedules/{schedule['id']}/backfills/preview", empty).json()

    assert (answer["occurrence_count"], answer["first"], answer["last"]) == (0, None, None)


def test_a_backfill_is_made_read_listed_and_canceled(api, schedule):
    made = api.post(f"schedules/{schedule['id']}/backfills", {**WEEK, "overlap": "allow", "max_active": 2})
    backfill = made.json()
    BackfillPacer().turn()
    read = api.get(f"backfills/{backfill['id']}").json()
    runs = api.get(f"runs?backfill={backfill['id']}").json()["items"]
    canceled = api.post(f"backfills/{backfill['id']}/cancel", {"cancel_runs": True, "reason": "enough"})

    assert made.status_code == 201
    assert made["Location"] == f"/api/v1/backfills/{backfill['id']}"
    assert (backfill["state"], backfill["total_count"], backfill["remaining_count"]) == ("running", 7, 7)
    assert (backfill["schedule"], backfill["task"]) == (schedule["id"], schedule["task"])
    assert (read["started_count"], read["remaining_count"], read["live_count"]) == (2, 5, 2)
    assert read["allowed_actions"] == ["cancel"]
    assert {(run["trigger"], run["backfill"], run["state"]) for run in runs} == {("backfill", backfill["id"], "queued")}
    assert [run["scheduled_for"] for run in runs] == ["2026-03-03T06:00:00Z", "2026-03-02T06:00:00Z"]
    assert (canceled.json()["state"], canceled.json()["state_reason"]) == ("canceled", "enough")
    assert canceled.json()["live_count"] == 0
    assert set(Run.objects.values_list("state", flat=True)) == {"canceled"}
    assert api.get(read["runs"].removeprefix("/api/v1/")).json()["items"] != []


def test_backfills_are_listed_by_schedule_state_and_task(api, schedule):
    made = api.post(f"schedules/{schedule['id']}/backfills", WEEK).json()
    done = BackfillFactory(schedule=Schedule.objects.get(pk=schedule["id"]), state="completed")

    def listed(address: str) -> list[str]:
        return [each["id"] for each in api.get(address).json()["items"]]

    assert listed("backfills") == [str(done.pk), made["id"]]
    assert listed(f"schedules/{schedule['id']}/backfills?state=running") == [made["id"]]
    assert listed(f"backfills?task={schedule['task']}&state=completed") == [str(done.pk)]
    assert listed(f"backfills?schedule={made['id']}") == []


def test_a_backfill_of_a_paused_task_says_what_it_waits_for(api, schedule):
    backfill = api.post(f"schedules/{schedule['id']}/backfills", WEEK).json()
    assert backfill["waits_for"] == ""

    api.post(f"tasks/{schedule['task']}/pause")

    assert api.get(f"backfills/{backfill['id']}").json()["waits_for"] == "task_paused"


def test_what_is_wrong_is_told_at_its_place_with_a_hint(api, schedule):
    answer = api.post(f"schedules/{schedule['id']}/backfills", {**WEEK, "end": "2400-01-01T00:00:00"})

    problem = assert_problem(answer, 422, "not_valid")
    assert pointers(problem) == {"/end"}
    assert "fired live" in problem["errors"][0]["hint"]
    assert not Backfill.objects.exists()


def test_a_second_one_is_a_conflict(api, schedule):
    api.post(f"schedules/{schedule['id']}/backfills", WEEK)

    answer = api.post(f"schedules/{schedule['id']}/backfills", WEEK)

    assert_problem(answer, 409, "backfill_running")


def test_the_same_key_makes_one_backfill(api, schedule):
    headers = {"Idempotency-Key": "march"}

    first = api.post(f"schedules/{schedule['id']}/backfills", WEEK, headers=headers)
    second = api.post(f"schedules/{schedule['id']}/backfills", WEEK, headers=headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert Backfill.objects.count() == 1


def test_another_agents_backfills_and_schedules_are_as_good_as_missing(api, schedule):
    foreign = BackfillFactory()

    assert_problem(api.get(f"backfills/{foreign.pk}"), 404, "not_found")
    assert_problem(api.post(f"backfills/{foreign.pk}/cancel"), 404, "not_found")
    assert_problem(api.post(f"schedules/{foreign.schedule_id}/backfills", WEEK), 404, "not_found")
    assert_problem(api.post(f"schedules/{foreign.schedule_id}/backfills/preview", WEEK), 404, "not_found")
    assert api.get("backfills").json()["items"] == []


def test_one_that_sees_all_may_not_cancel_a_foreign_one(api):
    foreign = BackfillFactory()
    watcher = gateway_of(agent=AgentFactory(scopes=["all:read", "runs:read", "runs:write"]))

    assert watcher.get(f"backfills/{foreign.pk}").status_code == 200
    assert_problem(watcher.post(f"backfills/{foreign.pk}/cancel"), 403, "scope_missing")
