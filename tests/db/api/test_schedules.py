"""Schedules through the API."""

from typing import Any

import pytest

from scheduling.models import Schedule
from tests.db.api.gateway import DAILY, NOTE, assert_problem, pointers

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(api):
    return api.post("tasks", {"key": "note", "pipeline": NOTE}).json()


def add(api, task, **changes):
    answer = api.post(f"tasks/{task['id']}/schedules", {**DAILY, **changes})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_schedule_is_added_read_listed_and_removed(api, task):
    schedule = add(api, task, exdates=["2026-12-25T08:00:00"], jitter="PT10S")

    read = api.get(f"schedules/{schedule['id']}")
    listed = api.get(f"tasks/{task['id']}/schedules").json()
    removed = api.delete(f"schedules/{schedule['id']}")

    assert read.json() == schedule
    assert listed == {"items": [schedule], "next": None, "prev": None}
    assert (schedule["exdates"], schedule["jitter"], schedule["task"]) == (["2026-12-25T08:00:00"], "PT10S", task["id"])
    assert "08:00" in schedule["sentence"]
    assert removed.status_code == 204
    assert_problem(api.get(f"schedules/{schedule['id']}"), 404, "not_found")


def test_schedules_of_all_tasks_are_listed(api, task):
    schedule = add(api, task)
    other = api.post("tasks", {"key": "other", "pipeline": NOTE, "schedules": [DAILY]}).json()
    api.post(f"schedules/{schedule['id']}/pause")

    everything = api.get("schedules").json()["items"]

    assert [each["id"] for each in everything] == [other["schedules"][0]["id"], schedule["id"]]
    assert [each["id"] for each in api.get("schedules?state=paused").json()["items"]] == [schedule["id"]]
    assert [each["id"] for each in api.get(f"schedules?task={other['id']}").json()["items"]] == [everything[0]["id"]]


def test_an_edit_moves_the_next_firing(api, task):
    schedule = add(api, task, timezone="UTC", expression="0 9 * * *")
    address = f"schedules/{schedule['id']}"
    tag = api.get(address)["ETag"]

    edited = api.patch(address, {"expression": "0 15 * * *"}, headers={"If-Match": tag})
    stale = api.patch(address, {"expression": "0 16 * * *"}, headers={"If-Match": tag})

    assert "T15:00:00Z" in edited.json()["next_fire_at"]
    assert edited["ETag"] != tag
    assert_problem(stale, 412, "version_mismatch")


def test_a_firing_does_not_change_the_etag(api, task):
    schedule = add(api, task)
    address = f"schedules/{schedule['id']}"
    tag = api.get(address)["ETag"]
    Schedule.objects.update(version=9, fired_count=3)

    assert api.get(address)["ETag"] == tag


def test_a_paused_schedule_has_no_next_firing(api, task):
    schedule = add(api, task)
    address = f"schedules/{schedule['id']}"

    paused = api.post(f"{address}/pause", {"reason": "noise"}).json()
    resumed = api.post(f"{address}/resume").json()

    assert (paused["state"], paused["next_fire_at"], paused["state_reason"]) == ("paused", None, "noise")
    assert (resumed["state"], resumed["next_fire_at"]) == ("active", schedule["next_fire_at"])


def test_a_preview_answers_like_previewschedule(api):
    line: dict[str, Any] = {
        "kind": "rrule",
        "expression": "FREQ=DAILY;COUNT=3",
        "timezone": "Europe/Paris",
        "starts_at": "2025-03-29T02:30:00",
        "after": None,
        "count": 5,
        "exdates": [],
        "rdates": [],
        "gap": "shift",
        "fold": "first",
    }

    preview = api.post("schedules/preview", line).json()

    assert [each["local"] for each in preview["next"]] == [
        "2025-03-29T02:30:00+01:00",
        "2025-03-30T03:30:00+02:00",
        "2025-03-31T02:30:00+02:00",
    ]
    assert preview["next"][0]["utc"] == "2025-03-29T01:30:00Z"
    assert preview["sentence"]
    assert preview["notes"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"kind": "crom"}, "/kind"),
        ({"expression": "61 * * * *"}, "/expression"),
        ({"expression": None}, "/expression"),
        ({"timezone": "Foo/Bar"}, "/timezone"),
        ({"timezone": "GMT+5"}, "/timezone"),
        ({"count": 0}, "/count"),
        ({"starts_at": "10"}, "/starts_at"),
        ({"exdates": "x"}, "/exdates"),
        ({"gap": "jump"}, "/gap"),
        ({"cuont": 3}, "/cuont"),
        ({"expression": "0 8 * * *\x00"}, "/expression"),
    ],
)
def test_a_preview_refuses_at_the_place(api, change, pointer):
    problem = assert_problem(api.post("schedules/preview", {**DAILY, **change}), 422, "not_valid")

    assert pointers(problem) == {pointer}


def test_a_rule_that_never_occurs_is_refused_at_once(api):
    rule = {"kind": "rrule", "expression": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "timezone": "UTC"}

    problem = assert_problem(api.post("schedules/preview", rule), 422, "not_valid")

    assert pointers(problem) == {"/expression"}


def test_a_rule_that_always_falls_into_the_gap_is_refused_wherever_it_is_given(api):
    rule = {"kind": "cron", "expression": "30 2 * 3 7#2", "timezone": "America/New_York"}
    made = api.post("tasks", {"key": "gap", "pipeline": NOTE, "schedules": [rule]}).json()
    address = f"schedules/{made['schedules'][0]['id']}"
    never = {**rule, "gap": "skip"}

    answers = {
        "/expression": [api.post("schedules/preview", never), api.patch(address, {"gap": "skip"})],
        "/schedules/0/expression": [api.post("tasks", {"key": "never", "pipeline": NOTE, "schedules": [never]})],
    }

    for pointer, given in answers.items():
        for answer in given:
            problem = assert_problem(answer, 422, "not_valid")
            assert [(each["pointer"], each["code"]) for each in problem["errors"]] == [(pointer, "never_occurs")]
    added = api.patch(address, {"gap": "skip", "rdates": ["2090-01-01T00:00:00"]})
    assert added.json()["next_fire_at"] == "2090-01-01T05:00:00Z"


def test_a_schedule_is_snoozed_until_an_instant_that_lies_ahead(api, task):
    schedule = add(api, task)
    address = f"schedules/{schedule['id']}"

    snoozed = api.post(f"{address}/pause", {"reason": "holiday", "until": "2099-01-01T00:00:00+02:00"}).json()
    past = api.post(f"{address}/pause", {"until": "2020-01-01T00:00:00Z"})
    resumed = api.post(f"{address}/resume").json()

    assert (snoozed["state"], snoozed["paused_until"]) == ("paused", "2098-12-31T22:00:00Z")
    assert pointers(assert_problem(past, 422, "not_valid")) == {"/until"}
    assert (resumed["state"], resumed["paused_until"], resumed["state_reason"]) == ("active", None, "")


def test_a_maximum_of_occurrences_is_a_positive_number(api, task):
    assert add(api, task, max_occurrences=3)["max_occurrences"] == 3
    for wrong in (0, -1, "3", 1.5, True):
        answer = api.post(f"tasks/{task['id']}/schedules", {**DAILY, "max_occurrences": wrong})
        assert pointers(assert_problem(answer, 422, "not_valid")) == {"/max_occurrences"}
