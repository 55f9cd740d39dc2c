"""The requests of the how-to pages answer what the pages show, and do what they promise."""

from datetime import UTC, datetime

import pytest

from scheduling.backfills.pacing import BackfillPacer
from scheduling.clock.firing import run_pass
from scheduling.models import Run, Schedule
from tests.db.api.gateway import NOTE, Gateway, gateway_of
from tests.factories import RunFactory
from tests.pages import pages_with_requests, send_requests_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Gateway:
    return gateway_of()


def test_every_page_with_requests_has_its_test_here() -> None:
    elsewhere = {"how-to/retention.md"}  # test_retention_page.py
    here = {"how-to/backfill.md", "how-to/exclude-holidays.md", "how-to/trigger-tasks.md"}

    assert pages_with_requests() == here | elsewhere


def test_exclude_holidays(api: Gateway) -> None:
    task = api.post("tasks", {"key": "briefing", "pipeline": NOTE}).json()

    send_requests_of("how-to/exclude-holidays.md", api, {"task": task["id"]})


def test_trigger_tasks(api: Gateway) -> None:
    send_requests_of("how-to/trigger-tasks.md", api, {})

    assert [run.trigger_kind for run in Run.objects.all()] == ["event"]
    condition = Schedule.objects.get(kind="condition")
    run_pass(now=condition.next_fire_at)
    assert Run.objects.filter(schedule=condition, trigger_kind="check").exists()


def test_backfill(api: Gateway) -> None:
    daily = {
        "kind": "cron",
        "expression": "0 8 * * *",
        "timezone": "Europe/Chisinau",
        "starts_at": "2026-01-01T00:00:00",
    }
    task = api.post("tasks", {"key": "note", "pipeline": NOTE, "schedules": [daily]}).json()
    schedule = Schedule.objects.get()
    RunFactory(
        succeeded=True, trigger_kind="schedule", schedule=schedule, task=schedule.task,
        scheduled_for=datetime(2026, 3, 28, 6, tzinfo=UTC),
    )  # fmt: skip
    ids = {"task": task["id"], "schedule": str(schedule.pk)}

    send_requests_of("how-to/backfill.md", api, ids, after_each=lambda: BackfillPacer().turn())
