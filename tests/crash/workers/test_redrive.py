"""A redrive in the face of workers that run: what it queues is taken at once, and each run goes once."""

import pytest

from scheduling.audit.operations import Actor
from scheduling.bulk import operations
from scheduling.bulk.operations import carry_on, create_redrive
from scheduling.models import BulkOperation, Run
from tests.crash.workers.conftest import Fleet, worker_pids
from tests.factories import RunFactory, TaskFactory
from tests.invariants import broken_invariants
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_redrive_against_running_workers_runs_each_once(fleet: Fleet, monkeypatch):
    monkeypatch.setattr(operations, "BATCH", 10)
    document = {"version": 1, "steps": [{"id": "note", "uses": "test.note"}]}
    tasks = [TaskFactory(document=document), TaskFactory(document=document, concurrency_key="k", concurrency_limit=1)]
    runs = [RunFactory(dead=True, task=tasks[number % 2]) for number in range(40)]
    create_redrive(actor=Actor.system("tests"), agent=None, given={}, expected_count=40)

    with fleet.host(processes=2):
        wait_until(lambda: len(worker_pids()) == 2)
        carry_on()
        wait_until(lambda: Run.objects.filter(state="succeeded").count() == 40, what="every run")

    assert sorted(line["run"] for line in fleet.seen("note")) == sorted(str(run.pk) for run in runs)
    assert BulkOperation.objects.get().done_count == 40
    assert broken_invariants() == {}
