"""What operators do to queues and to dead letters, and what retention tells, in a real browser."""

from datetime import UTC, datetime

import pytest

from scheduling.agents.roles import Role
from scheduling.models import BulkOperation, Queue, Run
from tests.browser.conftest import Visit
from tests.browser.test_console import log_in
from tests.factories import DueWorkFactory, RunFactory
from workers.models import Retention

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_queue_is_paused_until_an_instant_and_resumed(visit: Visit):
    DueWorkFactory(queue="mail")
    log_in(visit, Role.OPERATOR)
    visit.open("/admin/scheduling/queue/")

    row = visit.page.locator("tr", has_text="mail")
    row.locator("summary").click()
    row.locator("[name=reason]").fill("The provider <b>is down</b>")
    row.locator("[name=until]").fill("2090-01-01 08:00")
    row.locator("button:has-text('Pause mail')").click()
    visit.page.wait_for_selector("text=mail is paused")
    visit.page.wait_for_selector("text=The provider <b>is down</b>")
    assert Queue.objects.get(name="mail").paused_until == datetime(2090, 1, 1, 8, tzinfo=UTC)

    visit.page.locator("tr", has_text="mail").locator("button:has-text('Resume')").click()
    visit.page.wait_for_selector("text=mail is resumed")
    assert Queue.objects.get(name="mail").paused_at is None
    assert visit.complaints == []


def test_a_rate_is_given_to_a_queue(visit: Visit):
    DueWorkFactory(queue="mail")
    log_in(visit, Role.OPERATOR)
    visit.open("/admin/scheduling/queue/")

    visit.page.click("table a:has-text('mail')")
    for name, value in {"rate_limit": "10", "rate_period": "a while", "rate_burst": "20"}.items():
        visit.page.fill(f"[name={name}]", value)
    visit.page.click("button[name=_save], input[name=_save]")
    visit.page.wait_for_selector("text=is no ISO 8601 duration")
    visit.page.fill("[name=rate_period]", "PT1M")
    visit.page.click("button[name=_save], input[name=_save]")
    visit.page.wait_for_selector("text=10 in 1 min, 20 at once")

    assert Queue.objects.get(name="mail").rate_limit == 10
    assert visit.complaints == []


def test_dead_letters_are_redriven_after_a_preview_and_watched(visit: Visit):
    for _ in range(3):
        RunFactory(dead=True)
    log_in(visit, Role.OPERATOR)
    visit.open("/admin/scheduling/run/dead-letters/")

    visit.page.click("button:has-text('Redrive every failed run')")
    visit.page.wait_for_selector("text=3 failed runs match")
    visit.page.click("button:has-text('Redrive 3')")
    operation = BulkOperation.objects.get()
    visit.page.wait_for_url(f"**/{operation.pk}/change/")

    assert (operation.total_count, operation.state) == (3, "running")
    visit.page.once("dialog", lambda dialog: dialog.accept())
    visit.page.click("button:has-text('Cancel')")
    visit.page.wait_for_selector("text=It is canceled")
    assert Run.objects.filter(state="failed").count() == 3
    assert visit.complaints == []


def test_retention_tells_its_last_turns(visit: Visit):
    Retention.objects.create(kind="executions", turn_host="worker-7", turn_deleted=41, deleted_count=4100)
    log_in(visit, Role.VIEWER)

    visit.open("/admin/workers/retention/")
    visit.page.wait_for_selector("text=4100")

    assert visit.complaints == []
