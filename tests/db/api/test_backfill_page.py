"""The examples of `docs/how-to/backfill.md` are answered as the page shows."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scheduling.backfills.pacing import BackfillPacer
from scheduling.models import Backfill, Schedule
from tests.db.api.gateway import NOTE, Gateway
from tests.factories import RunFactory

pytestmark = pytest.mark.django_db

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "backfill.md").read_text()
PAIRS = re.findall(r"```http\n(\w+) (\S+)\n(.*?)```\s+```json\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_is_answered_as_the_page_shows(api: Gateway) -> None:
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

    for method, address, body, shown in PAIRS:
        known = {"schedule": schedule.pk, "task": task["id"], "backfill": getattr(Backfill.objects.first(), "pk", "")}
        given: Any = json.loads(body) if body else None
        answer = api.call(method, address.format(**known), given)
        expected = json.loads(shown)

        assert answer.status_code in (200, 201), answer.content
        assert {name: answer.json()[name] for name in expected} == expected
        BackfillPacer().turn()

    assert len(PAIRS) == 4
