"""A backfill is counted before it is started, then watched and canceled."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from scheduling.audit.models import AuditEntry
from scheduling.backfills.models import Backfill, BackfillState
from scheduling.backfills.pacing import BackfillPacer
from scheduling.models import Run, Schedule
from tests.factories import BackfillFactory, ScheduleFactory

pytestmark = pytest.mark.django_db

WEEK = {"start": "2026-03-02T00:00:00", "end": "2026-03-08T23:59:59"}


@pytest.fixture
def schedule(db: None) -> Schedule:
    return ScheduleFactory(expression="0 8 * * *", timezone="Europe/Chisinau")


def ask(client: Client, schedule: Schedule, **words: Any) -> Any:
    given = {**WEEK, "overlap": "queue_all", "max_active": "1", "only_missing": "on", "count": "yes", **words}
    return client.post(f"/admin/scheduling/backfill/of/{schedule.pk}/", given)


def test_the_page_of_a_schedule_leads_to_its_backfill(operator: Client, viewer: Client, schedule: Schedule):
    address = f"/admin/scheduling/backfill/of/{schedule.pk}/"
    page = f"/admin/scheduling/schedule/{schedule.pk}/change/"

    assert address in operator.get(page).content.decode()
    assert address not in viewer.get(page).content.decode()
    assert "Europe/Chisinau" in operator.get(address).content.decode()


def test_a_range_is_counted_and_nothing_is_made(operator: Client, schedule: Schedule):
    page = ask(operator, schedule).content.decode()

    assert "7 runs would be started" in page
    assert "Mon 2026-03-02 08:00 (Europe/Chisinau)" in page
    assert "Start 7 runs" in page
    assert not Backfill.objects.exists()


def test_what_was_counted_is_started(operator: Client, schedule: Schedule):
    answer = ask(operator, schedule, overlap="allow", max_active="3", start_runs="yes")

    backfill = Backfill.objects.get()
    assert answer["Location"] == f"/admin/scheduling/backfill/{backfill.pk}/change/"
    assert (backfill.total_count, backfill.max_active, backfill.only_missing) == (7, 3, True)
    assert AuditEntry.objects.get(action="backfill.create").actor_kind == "operator"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"start": "yesterday"}, "start: "),
        ({"end": "2400-01-01T00:00:00"}, "end: A backfill is of the past."),
        ({"max_active": "many", "start_runs": "yes"}, "max_active: This must be a whole number"),
        ({"max_active": "2", "start_runs": "yes"}, "max_active: queue_all runs one at a time."),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_made(operator: Client, schedule: Schedule, words: Any, told: str):
    page = ask(operator, schedule, **words).content.decode()

    assert told in page
    assert "Start 7 runs" not in page
    assert not Backfill.objects.exists()


def test_an_empty_range_has_nothing_to_start(operator: Client, schedule: Schedule):
    page = ask(operator, schedule, end="2026-03-02T01:00:00").content.decode()

    assert "0 runs would be started" in page
    assert "start_runs" not in page


def test_progress_is_seen_and_the_runs_are_found(operator: Client):
    backfill = BackfillFactory(max_active=3)
    BackfillPacer().turn()

    page = operator.get(f"/admin/scheduling/backfill/{backfill.pk}/change/").content.decode()
    listed = operator.get("/admin/scheduling/backfill/").content.decode()
    runs = operator.get(f"/admin/scheduling/run/?backfill__id__exact={backfill.pk}")

    assert "3 of 10 dealt with" in page
    assert "Cancel with its runs" in page
    assert "3 of 10" in listed
    assert runs.status_code == 200
    assert all(str(key) in runs.content.decode() for key in Run.objects.values_list("pk", flat=True))


def test_it_is_canceled_with_its_runs(operator: Client):
    backfill = BackfillFactory(max_active=3)
    BackfillPacer().turn()

    answer = operator.post(f"/admin/scheduling/backfill/{backfill.pk}/do/cancel-with-runs/")

    backfill.refresh_from_db()
    assert backfill.state == BackfillState.CANCELED
    assert set(Run.objects.values_list("state", flat=True)) == {"canceled"}
    assert "canceled, and its live runs too" in " ".join(str(each) for each in get_messages(answer.wsgi_request))
