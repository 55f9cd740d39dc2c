"""Exclusion calendars through the API."""

import pytest

from tests.db.api.gateway import DAILY, NOTE, assert_problem, gateway_of, pointers

pytestmark = pytest.mark.django_db

HOLIDAYS = {"key": "holidays", "title": "Days off", "dates": ["2030-12-25", "2030-12-26"]}


@pytest.fixture
def calendar(api):
    answer = api.post("calendars", HOLIDAYS)
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_calendar_is_made_read_listed_changed_and_removed(api, calendar):
    address = f"calendars/{calendar['id']}"
    tag = api.get(address)["ETag"]

    changed = api.patch(address, {"dates": ["2031-01-01"]}, headers={"If-Match": tag})
    stale = api.patch(address, {"dates": []}, headers={"If-Match": tag})
    listed = api.get("calendars").json()["items"]
    removed = api.delete(address)

    assert (calendar["days"], calendar["spans"]) == (["2030-12-25", "2030-12-26"], [])
    assert changed.json()["days"] == ["2031-01-01"]
    assert_problem(stale, 412, "version_mismatch")
    assert [(each["key"], each["day_count"]) for each in listed] == [("holidays", 1)]
    assert removed.status_code == 204
    assert_problem(api.get(address), 404, "not_found")


def test_timed_events_are_shown_as_spans(api):
    ics = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART:20301225T080000Z\nDURATION:PT1H\nEND:VEVENT\nEND:VCALENDAR\n"

    made = api.post("calendars", {"key": "outage", "ics": ics}).json()

    assert made["spans"] == [{"start": "2030-12-25T08:00:00Z", "end": "2030-12-25T09:00:00Z"}]
    assert made["ics"] == ics


def test_a_schedule_shows_the_keys_of_its_calendars_and_its_preview_heeds_them(api, calendar):
    task = api.post("tasks", {"key": "note", "pipeline": NOTE, "schedules": [{**DAILY, "calendars": ["holidays"]}]})
    (schedule,) = task.json()["schedules"]

    shown = api.get(f"schedules/{schedule['id']}/preview?after=2030-12-24T00:00:00Z&count=2").json()
    in_use = api.delete(f"calendars/{calendar['id']}")

    assert schedule["calendars"] == ["holidays"]
    assert [each["local"][:10] for each in shown["next"]] == ["2030-12-24", "2030-12-27"]
    assert shown["notes"] == [
        "2030-12-25 08:00 is excluded by calendar holidays.",
        "2030-12-26 08:00 is excluded by calendar holidays.",
    ]
    assert schedule["id"] in assert_problem(in_use, 409, "calendar_in_use")["detail"]


def test_another_agents_calendar_is_as_good_as_missing(api, calendar):
    stranger = gateway_of()

    assert_problem(stranger.get(f"calendars/{calendar['id']}"), 404, "not_found")
    assert_problem(stranger.delete(f"calendars/{calendar['id']}"), 404, "not_found")
    assert stranger.get("calendars").json()["items"] == []


def test_what_is_wrong_is_located(api):
    answer = api.post("calendars", {"key": "a b", "dates": ["2030-02-30"], "ics": 5})

    assert pointers(assert_problem(answer, 422, "not_valid")) == {"/key", "/dates/0", "/ics"}


def test_lists_of_schedules_read_their_calendars_at_once(api, calendar, django_assert_max_num_queries):
    for number in range(5):
        schedules = [{**DAILY, "calendars": ["holidays"]}] * 2
        api.post("tasks", {"key": f"note-{number}", "pipeline": NOTE, "schedules": schedules})

    with django_assert_max_num_queries(8):
        assert len(api.get("schedules").json()["items"]) == 10
