"""What the console says of runs that something started, and of conditions."""

import pytest
from django.test import Client
from django.urls import reverse

from scheduling.clock.firing import run_pass
from scheduling.events.operations import publish
from scheduling.models import Run, Schedule
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import ACTOR, end, listen
from tests.db.triggers.test_conditions import watch

pytestmark = pytest.mark.django_db


def page_of(admin: Client, row: Run | Schedule) -> str:
    name = row._meta.model_name
    response = admin.get(reverse(f"admin:scheduling_{name}_change", args=[row.pk]))
    assert response.status_code == 200
    return response.content.decode()


def test_a_run_shows_the_event_that_started_it(admin: Client) -> None:
    listen()
    (run_id,) = publish(actor=ACTOR, topic="order.paid", payload={"name": "<Ana>"}).run_ids
    run = Run.objects.get(pk=run_id)

    page = page_of(admin, run)

    assert reverse("admin:scheduling_event_change", args=[run.event_id]) in page
    assert "order.paid" in page
    assert "&lt;Ana&gt;" in page or "&lt;</span>Ana" in page
    assert "<Ana>" not in page


def test_a_condition_shows_what_its_newest_check_found(admin: Client) -> None:
    schedule = watch()
    assert "not known yet" in page_of(admin, schedule)

    for met, words in ((False, "not met at the check for"), (True, ">met at the check for")):
        schedule.refresh_from_db()
        run_pass(now=schedule.next_fire_at)
        end(Run.objects.filter(schedule=schedule, trigger_kind="check").latest("id"), output={"met": met})
        act_on_run_ends()
        schedule.refresh_from_db()

        assert words in page_of(admin, schedule)


def test_a_schedule_shows_why_its_filter_failed(admin: Client) -> None:
    schedule = listen(filter="div(10, event.payload.parts) > 1")
    publish(actor=ACTOR, topic="order.paid", payload={"parts": 0})

    assert "The filter cannot be evaluated" in page_of(admin, schedule)
