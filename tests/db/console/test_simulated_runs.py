"""A simulated run is marked as such on every page and list of the console that shows it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from scheduling.audit.models import AuditEntry
from scheduling.models import Run, RunEnd
from scheduling.runs.operations import retry_run
from tests.db.triggers.conftest import ACTOR
from tests.factories import DueWorkFactory, RunFactory, WorkerFactory
from workers.models import Wait, Worker

MARK = ">simulated</span>"
DEAD_LETTERS = "/admin/scheduling/run/dead-letters/"
AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


def due(*, simulated: bool) -> Any:
    return DueWorkFactory(run__simulated=simulated)


def dead(*, simulated: bool) -> Run:
    return RunFactory(dead=True, simulated=simulated, finished_at=AN_HOUR_AGO)


def held(*, simulated: bool) -> Worker:
    worker = WorkerFactory(running_count=1)
    now = datetime.now(UTC)
    run = RunFactory(simulated=simulated)
    DueWorkFactory(run=run, lease_owner=worker.boot_id, lease_epoch=1, claimed_at=now)
    doing = [str(run.pk), "send", now.isoformat(), *(["simulated"] if simulated else [])]
    Worker.objects.filter(pk=worker.pk).update(doing=[doing])
    return worker


def waiting(*, simulated: bool) -> Wait:
    run = RunFactory(state="waiting", simulated=simulated)
    return Wait.objects.create(run_id=run.pk, path="nap", kind="timer", wake_at=datetime.now(UTC))


def ended(*, simulated: bool) -> RunEnd:
    run = dead(simulated=simulated)
    return RunEnd.objects.create(run=run, task=run.task)


def audited(*, simulated: bool) -> Any:
    retry_run(actor=ACTOR, run=dead(simulated=simulated))


SURFACES = {
    "dashboard": (dead, "/admin/"),
    "dead letters": (dead, DEAD_LETTERS),
    "due work": (due, "/admin/scheduling/duework/"),
    "runs": (due, "/admin/scheduling/run/"),
    "waits": (waiting, "/admin/workers/wait/"),
    "ends": (ended, "/admin/scheduling/runend/"),
    "workers": (held, "/admin/workers/worker/"),
    "a worker": (held, "/admin/workers/worker/{0.pk}/change/"),
    "a run": (dead, "/admin/scheduling/run/{0.pk}/change/"),
}


@pytest.mark.parametrize("name", SURFACES)
def test_a_simulated_run_is_marked_and_a_real_one_is_not(name: str, admin: Client):
    make, address = SURFACES[name]

    real = admin.get(address.format(make(simulated=False))).content.decode()
    rehearsed = admin.get(address.format(make(simulated=True))).content.decode()

    assert MARK not in real
    assert MARK in rehearsed


@pytest.mark.parametrize(("simulated", "label"), [(False, "{}"), (True, "{} (simulated)")])
def test_the_audit_trail_names_a_simulated_run_so(simulated: bool, label: str, db: None):
    audited(simulated=simulated)

    entry = AuditEntry.objects.get(action="run.retry")
    assert entry.object_label == label.format(entry.object_id)


def test_simulated_dead_letters_are_a_group_of_their_own(operator: Client):
    real, rehearsed = dead(simulated=False), dead(simulated=True)
    same = {"code": "refused", "cause": "permanent"}

    listed = operator.get(DEAD_LETTERS).content.decode()
    both = operator.post(DEAD_LETTERS, {"redrive": "preview"}).content.decode()
    one = operator.post(DEAD_LETTERS, {"redrive": "preview", "simulated": "false", **same}).content.decode()
    operator.post(DEAD_LETTERS, {"simulated": "true", **same})

    assert listed.count("Retry 1<") == 2
    assert "2 failed runs match, 1 of them simulated" in both
    assert both.count(MARK) == 1
    assert "1 failed runs match, none of them simulated" in one
    assert 'name="simulated" value="false"' in one
    assert Run.objects.get(pk=rehearsed.pk).state == "queued"
    assert Run.objects.get(pk=real.pk).state == "failed"


def test_a_redrive_that_leaves_simulated_runs_out_keeps_to_it(operator: Client):
    dead(simulated=True)
    real = dead(simulated=False)

    made = operator.post(DEAD_LETTERS, {"redrive": "start", "expected_count": "1", "simulated": "false"})
    page = operator.get(made["Location"]).content.decode()

    assert "0 of 1 dealt with" in page
    assert "Simulated runs" in page
    assert Run.objects.get(pk=real.pk).state == "failed", "no clock has taken it yet"
