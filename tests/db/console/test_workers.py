"""The workers' pages: what each does, how it is, and its drain."""

from datetime import UTC, datetime

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from scheduling.audit.models import AuditEntry
from tests.factories import DueWorkFactory, WorkerFactory
from workers.models import Worker

pytestmark = pytest.mark.django_db


def busy_worker(**fields):
    worker = WorkerFactory(running_count=1, **fields)
    now = datetime.now(UTC)
    work = DueWorkFactory(lease_owner=worker.boot_id, lease_epoch=1, claimed_at=now)
    Worker.objects.filter(pk=worker.pk).update(doing=[[str(work.pk), "send", now.isoformat()]])
    return worker, work


def test_the_list_shows_what_each_worker_does_and_why_one_is_lost(viewer: Client):
    _, work = busy_worker(last_error="a slot failed: OSError: disk full")
    WorkerFactory(state="lost", state_reason="killed: its loop stood still for 10 s", stopped_at=datetime.now(UTC))

    page = viewer.get("/admin/workers/worker/").content.decode()

    assert f"/admin/scheduling/run/{work.pk}/change/" in page
    assert "(send)" in page
    assert "1 of 4" in page
    assert "disk full" in page
    assert "killed: its loop stood still for 10 s" in page


def test_the_page_of_a_worker_names_its_runs_and_its_last_error(operator: Client):
    worker, work = busy_worker(last_error="a slot failed: OSError: disk full", last_error_at=datetime.now(UTC))

    page = operator.get(f"/admin/workers/worker/{worker.pk}/change/").content.decode()

    assert str(work.pk) in page
    assert work.task.title in page
    assert "<code>send</code>" in page
    assert "disk full" in page
    assert f"/admin/workers/worker/{worker.pk}/do/drain/" in page


def test_draining_says_what_it_did_and_is_not_offered_twice(operator: Client):
    worker = WorkerFactory()

    answer = operator.post(f"/admin/workers/worker/{worker.pk}/do/drain/")
    page = operator.get(f"/admin/workers/worker/{worker.pk}/change/").content.decode()

    assert "asked to drain" in " ".join(str(message) for message in get_messages(answer.wsgi_request))
    assert AuditEntry.objects.get(action="worker.drain").actor_kind == "operator"
    assert "/do/drain/" not in page
    assert "asked to drain by operator:" in page
