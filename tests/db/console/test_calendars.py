"""Calendars, maxima and snoozes in the console: saved by the operations of the API."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client

from scheduling.audit.models import AuditEntry
from scheduling.instants import database_now
from scheduling.models import Calendar, Schedule
from scheduling.schedules.models import ScheduleState
from tests.factories import AgentFactory, CalendarFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db

ADD = "/admin/scheduling/calendar/add/"
RULE = {
    "kind": "cron",
    "expression": "0 8 * * *",
    "timezone": "Europe/Chisinau",
    "jitter": "PT0S",
    "misfire_policy": "last",
    "misfire_grace": "PT1M",
    "misfire_limit": "100",
}


def errors_of(answer: Any) -> dict[str, list[str]]:
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


def test_a_calendar_is_made_and_changed_by_its_operations(author: Client):
    agent = AgentFactory()

    author.post(ADD, {"agent": agent.pk, "key": "holidays", "dates": "2030-12-25\n2030-12-26"})
    calendar = Calendar.objects.get()
    author.post(f"/admin/scheduling/calendar/{calendar.pk}/change/", {"key": "holidays", "dates": "2031-01-01"})

    calendar.refresh_from_db()
    assert (calendar.agent, calendar.days) == (agent, [date(2031, 1, 1)])
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == [
        "calendar.create",
        "calendar.update",
    ]


@pytest.mark.parametrize(
    ("field", "changes"),
    [("dates", {"dates": "2030-02-30"}), ("ics", {"ics": "hello"}), ("key", {"key": "a b"})],
)
def test_what_is_wrong_is_told_on_its_field(author: Client, field: str, changes: dict[str, str]):
    answer = author.post(ADD, {"agent": AgentFactory().pk, "key": "holidays", **changes})

    assert field in errors_of(answer)
    assert not Calendar.objects.exists()


def test_a_calendars_page_shows_what_comes_and_who_uses_it(viewer: Client):
    tomorrow = database_now().date() + timedelta(days=1)
    calendar = CalendarFactory(dates=[tomorrow])
    schedule = ScheduleFactory(task=TaskFactory(agent=calendar.agent, title="Briefing"), calendars=[calendar.pk])

    page = viewer.get(f"/admin/scheduling/calendar/{calendar.pk}/change/").content.decode()

    assert f"{tomorrow:%a %Y-%m-%d}" in page
    assert f"/admin/scheduling/schedule/{schedule.pk}/change/" in page
    assert "/do/" not in page


def test_a_calendar_in_use_is_not_deleted(author: Client):
    calendar = CalendarFactory()
    ScheduleFactory(task=TaskFactory(agent=calendar.agent), calendars=[calendar.pk])

    page = author.post(f"/admin/scheduling/calendar/{calendar.pk}/do/delete/", follow=True)

    assert "name the calendar" in page.content.decode()
    assert Calendar.objects.exists()


def test_a_schedule_names_calendars_by_key_and_its_forecast_heeds_them(author: Client):
    tomorrow = database_now().date() + timedelta(days=1)
    calendar = CalendarFactory(key="holidays", dates=[tomorrow, tomorrow + timedelta(days=1)])
    task = TaskFactory(agent=calendar.agent)

    author.post(
        "/admin/scheduling/schedule/add/",
        {**RULE, "task": task.pk, "calendars": "holidays", "max_occurrences": "5"},
    )
    schedule = Schedule.objects.get()
    page = author.get(f"/admin/scheduling/schedule/{schedule.pk}/change/").content.decode()

    assert (schedule.calendars, schedule.max_occurrences) == ([calendar.pk], 5)
    assert f"{tomorrow} 08:00 is excluded by calendar holidays." in page
    assert "0 of 5" in page


def test_saving_a_schedule_with_a_calendar_as_it_is_changes_nothing(author: Client):
    calendar = CalendarFactory(key="holidays")
    schedule = ScheduleFactory(
        task=TaskFactory(agent=calendar.agent), calendars=[calendar.pk], max_occurrences=4, misfire_limit=100
    )
    address = f"/admin/scheduling/schedule/{schedule.pk}/change/"
    form = author.get(address).context["adminform"].form

    author.post(address, {name: form[name].value() or "" for name in form.fields})

    assert Schedule.objects.get().version == schedule.version


def test_an_unknown_calendar_is_told_on_its_field(author: Client):
    answer = author.post("/admin/scheduling/schedule/add/", {**RULE, "task": TaskFactory().pk, "calendars": "nowhere"})

    assert "calendars" in errors_of(answer)


def test_a_schedule_is_snoozed_until_a_local_time(operator: Client):
    schedule = ScheduleFactory(timezone="Europe/Chisinau")
    address = f"/admin/scheduling/schedule/{schedule.pk}/snooze/"

    page = operator.post(address, {"until": "2099-01-01T08:00", "reason": "holiday"}, follow=True)
    schedule.refresh_from_db()

    assert (schedule.state, schedule.state_reason) == (ScheduleState.PAUSED, "holiday")
    assert schedule.paused_until.isoformat() == "2099-01-01T06:00:00+00:00"
    assert "is snoozed until" in page.content.decode()


@pytest.mark.parametrize("until", ["tomorrow", "2020-01-01T08:00", "0001-01-01T00:00", "9999-12-31T23:59"])
def test_a_snooze_without_an_end_ahead_is_refused(operator: Client, until: str):
    schedule = ScheduleFactory(timezone="Pacific/Auckland" if until < "2" else "America/New_York")

    operator.post(f"/admin/scheduling/schedule/{schedule.pk}/snooze/", {"until": until})

    assert Schedule.objects.get().state == ScheduleState.ACTIVE


@pytest.mark.parametrize(("until", "end"), [("", None), ("2099-01-01T08:00", "2099-01-01T08:00:00+00:00")])
def test_a_schedule_or_a_task_is_paused_with_a_reason(operator: Client, until: str, end: str | None):
    schedule = ScheduleFactory(timezone="UTC")
    given = {"until": until, "reason": "the boiler is mended"}

    of_schedule = operator.post(f"/admin/scheduling/schedule/{schedule.pk}/snooze/", given, follow=True)
    of_task = operator.post(f"/admin/scheduling/task/{schedule.task_id}/snooze/", given, follow=True)
    schedule.refresh_from_db()

    assert (schedule.state, schedule.state_reason) == ("paused", "the boiler is mended")
    assert (schedule.task.state, schedule.task.pause_reason) == ("paused", "the boiler is mended")
    for paused_until in (schedule.paused_until, schedule.task.paused_until):
        assert (paused_until and paused_until.isoformat()) == end
    assert "the boiler is mended" in of_schedule.content.decode()
    assert "the boiler is mended" in of_task.content.decode()
    assert "is paused" in of_task.content.decode()


@pytest.mark.parametrize("until", ["tomorrow", "2020-01-01T08:00", "0001-01-01T00:00"])
def test_a_pause_of_a_task_that_ends_nowhere_ahead_is_refused(operator: Client, until: str):
    task = TaskFactory()

    operator.post(f"/admin/scheduling/task/{task.pk}/snooze/", {"until": until})

    task.refresh_from_db()
    assert task.state == "active"
