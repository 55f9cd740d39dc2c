"""What pages may cost, and what they must never do: run what stands in the data, or ask another host."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.factories import (
    DueWorkFactory,
    RunFactory,
    ScheduleFactory,
    StepRunFactory,
    TaskFactory,
    TaskRevisionFactory,
    WorkerFactory,
)

pytestmark = pytest.mark.django_db

MOST_QUERIES = 12
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7|add:7 }}${now}"


def queries_of(client: Client, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        answer = client.get(address)
    assert answer.status_code == 200
    return len(asked)


def a_run_with_steps(count: int) -> Any:
    run = RunFactory(dead=True)
    for index in range(count):
        StepRunFactory(run=run, path=f"steps/{index}", input={"n": index}, output={"n": index})
    return run


def test_the_dashboard_asks_little_however_much_there_is(viewer: Client):
    task = TaskFactory()
    for _ in range(15):
        DueWorkFactory(run=RunFactory(task=task))
        RunFactory(task=task, dead=True)
        ScheduleFactory(task=task)
        WorkerFactory()

    assert queries_of(viewer, "/admin/") <= MOST_QUERIES


def test_the_list_of_runs_asks_little(viewer: Client):
    for _ in range(30):
        DueWorkFactory()

    assert queries_of(viewer, "/admin/scheduling/run/") <= MOST_QUERIES


def test_the_page_of_a_run_with_forty_steps_asks_little(admin: Client):
    run = a_run_with_steps(40)

    assert queries_of(admin, f"/admin/scheduling/run/{run.pk}/change/") <= MOST_QUERIES


def test_the_page_of_a_running_run_asks_little(admin: Client):
    worker = WorkerFactory()
    now = datetime.now(UTC)
    work = DueWorkFactory(lease_owner=worker.boot_id, lease_epoch=1, claimed_at=now, started_at=now)

    assert queries_of(admin, f"/admin/scheduling/run/{work.run_id}/change/") <= MOST_QUERIES


def test_the_page_of_a_task_asks_little(admin: Client):
    task = TaskFactory()
    for _ in range(8):
        ScheduleFactory(task=task)
        RunFactory(task=task, succeeded=True)
        TaskRevisionFactory(task=task)

    assert queries_of(admin, f"/admin/scheduling/task/{task.pk}/change/") <= MOST_QUERIES


def test_the_list_of_runs_counts_no_further_than_it_pages(viewer: Client):
    DueWorkFactory()

    with CaptureQueriesContext(connection) as asked:
        viewer.get("/admin/scheduling/run/")

    counts = [query["sql"] for query in asked if "COUNT(" in query["sql"]]
    assert counts
    assert all("LIMIT 10000" in sql for sql in counts)


@pytest.mark.parametrize("term", ["morning", "01980000-0000-7000-8000-000000000000", HOSTILE, "%"])
def test_runs_are_searched_by_any_text(viewer: Client, term: str):
    run = RunFactory(task=TaskFactory(key="morning-briefing"))

    page = viewer.get("/admin/scheduling/run/", {"q": term})

    assert page.status_code in (200, 302)
    assert (str(run.pk) in page.content.decode()) == (term == "morning")


def test_a_search_that_cannot_be_is_refused(viewer: Client):
    assert viewer.get("/admin/scheduling/run/", {"q": "\x00"}).status_code == 400


@pytest.mark.parametrize("state", ["queued", "running", "failed", "succeeded", "no-state"])
def test_runs_are_filtered_by_what_they_do_now(viewer: Client, state: str):
    now = datetime.now(UTC)
    runs = {
        "queued": DueWorkFactory().run,
        "running": DueWorkFactory(lease_owner=WorkerFactory().boot_id, lease_epoch=1, claimed_at=now).run,
        "failed": RunFactory(dead=True),
        "succeeded": RunFactory(succeeded=True),
    }

    page = viewer.get("/admin/scheduling/run/", {"state": state}).content.decode()

    shown = {name for name, run in runs.items() if str(run.pk) in page}
    assert shown == ({state} if state in runs else set(runs))


def test_hostile_strings_are_shown_as_text_everywhere(admin: Client):
    task = TaskFactory(title=HOSTILE, description=HOSTILE, document={"version": 1, "steps": [{"id": HOSTILE}]})
    task.labels = task.params = {HOSTILE: HOSTILE}
    task.save()
    error = {"code": HOSTILE, "detail": HOSTILE, "hint": HOSTILE, "step": HOSTILE, "class": HOSTILE}
    run = RunFactory(task=task, dead=True, error=error, output={HOSTILE: HOSTILE}, triggered_by=HOSTILE[:100])
    StepRunFactory(run=run, path=HOSTILE, uses=HOSTILE, input=HOSTILE, output=[HOSTILE], error={"detail": HOSTILE})
    schedule = ScheduleFactory(task=task, expression=HOSTILE, state_reason=HOSTILE)
    WorkerFactory(host=HOSTILE, last_error=HOSTILE)

    for address in (
        "/admin/",
        "/admin/scheduling/run/",
        "/admin/scheduling/run/dead-letters/",
        f"/admin/scheduling/run/{run.pk}/change/",
        "/admin/scheduling/task/",
        f"/admin/scheduling/task/{task.pk}/change/",
        f"/admin/scheduling/task/{task.pk}/edit/",
        f"/admin/scheduling/taskrevision/{task.current_revision.pk}/change/",
        f"/admin/scheduling/schedule/{schedule.pk}/change/",
        "/admin/workers/worker/",
        "/admin/workers/steprun/",
    ):
        page = admin.get(address).content.decode()
        assert "<script>alert" not in page, address
        assert "<img src=x" not in page, address


def test_a_step_that_was_simulated_says_so(viewer: Client):
    run = RunFactory(succeeded=True, simulated=True)
    StepRunFactory(run=run, is_simulated=True)

    page = viewer.get(f"/admin/scheduling/run/{run.pk}/change/").content.decode()

    assert page.count(">simulated</span>") == 2
    assert ">simulated</span>" in viewer.get("/admin/scheduling/run/").content.decode()
    assert ">simulated</span>" in viewer.get("/admin/workers/steprun/").content.decode()


def test_the_page_of_a_run_tells_what_happened(viewer: Client):
    start = datetime(2026, 3, 29, 8, 0, tzinfo=UTC)
    run = RunFactory(
        dead=True,
        scheduled_for=start,
        started_at=start + timedelta(seconds=2),
        finished_at=start + timedelta(seconds=7),
    )
    StepRunFactory(run=run, path="weather", attempt=2, state="failed", error={"detail": "503 Service Unavailable"})

    page = viewer.get(f"/admin/scheduling/run/{run.pk}/change/").content.decode()

    for told in ("weather", "503 Service Unavailable", "2026-03-29 08:00:00 UTC", "2.0 s", "5.0 s", "permanent"):
        assert told in page


@pytest.mark.parametrize("address", ["/admin/", "/admin/login/", "/admin/scheduling/run/"])
def test_the_console_may_evaluate_and_nothing_may_be_inline(viewer: Client, address: str):
    policy = viewer.get(address)["Content-Security-Policy"]

    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'self'"
    assert directives["script-src"] == "'self' 'unsafe-eval'"
    assert directives["style-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"
    assert "unsafe-inline" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("address", ["/", "/administration", "/nowhere"])
def test_what_is_no_console_may_not_evaluate(client: Client, address: str):
    answer = client.get(address)

    assert "'unsafe-eval'" not in answer["Content-Security-Policy"]
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
