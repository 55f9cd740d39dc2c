"""What becomes of the work of the dead."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from scheduling.models import ConcurrencyKey, DueWork
from tests.db.workers.test_execution import Tools, run_once
from tests.factories import DueWorkFactory, RunFactory, StepRunFactory, TaskFactory, WorkerFactory
from tests.invariants import broken_invariants
from tests.workers_support import database, due_work, reload, run, run_of
from workers.explain import explain, explainable
from workers.gates import sweep_gates
from workers.models import StepRun, Wait, Worker
from workers.reaper import Reaper

pytestmark = pytest.mark.django_db(transaction=True)


def held_by(worker, document=None, **fields):
    return due_work(document, lease_owner=worker.boot_id, lease_epoch=7, claimed_at=datetime.now(UTC), **fields)


def with_reaper(work):
    async def inner():
        async with database() as opened:
            return await work(Reaper(opened))

    return run(inner())


def reap(worker, beat_number=None):
    number = worker.beat_number if beat_number is None else beat_number
    return with_reaper(lambda reaper: reaper.reap(worker.boot_id, number))


def test_a_process_that_stood_still_is_lost_and_its_runs_are_suspects():
    worker = WorkerFactory()
    first, second = held_by(worker), held_by(worker)
    StepRunFactory(run_id=first.pk, run=None, path="send", state="started")

    orphans = reap(worker)

    assert {orphan.run_id for orphan in orphans} == {first.pk, second.pk}
    assert Worker.objects.get().state == "lost"
    row = reload(first)
    assert (row.lease_owner, row.gate, row.is_suspect, row.death_count, row.attempt) == (None, "suspect", True, 0, 1)
    assert row.lease_epoch != 7
    assert StepRun.objects.get().state == "started"


def test_a_beat_in_time_saves_the_process():
    worker = WorkerFactory(beat_number=5)
    work = held_by(worker)

    assert reap(worker, beat_number=4) is None

    assert Worker.objects.get().state == "running"
    assert reload(work).lease_owner == worker.boot_id


def test_a_second_reaper_finds_nothing_to_do():
    worker = WorkerFactory()
    held_by(worker)

    assert reap(worker) is not None
    assert reap(worker) is None


def test_only_the_suspect_is_charged_with_a_death():
    worker = WorkerFactory()
    suspect, innocent = held_by(worker, is_suspect=True, death_count=1), held_by(worker)

    reap(worker)

    assert (reload(suspect).death_count, reload(innocent).death_count) == (2, 0)
    assert {reload(suspect).gate, reload(innocent).gate} == {"suspect"}


def test_a_run_that_keeps_killing_its_workers_is_quarantined():
    worker = WorkerFactory()
    poison, innocent = held_by(worker, is_suspect=True, death_count=2), held_by(worker)

    orphans = reap(worker)

    ended = run_of(poison)
    assert (ended.state, ended.cause, ended.error["code"]) == ("failed", "quarantined", "quarantined")
    assert ended.finished_at is not None
    assert reload(poison) is None
    assert reload(innocent) is not None
    assert [orphan.run_id for orphan in orphans if orphan.is_quarantined] == [poison.pk]


def test_a_run_that_was_to_be_canceled_and_has_begun_runs_what_runs_last_elsewhere():
    """Its process died in the middle of that, say."""
    worker = WorkerFactory()
    document = {
        "version": 1,
        "steps": [{"id": "hold", "uses": "test.call", "with": {}}],
        "finally": [{"id": name, "uses": "test.call", "with": {"name": name}} for name in ("tidy", "release")],
    }
    work = held_by(worker, document, cancel_requested_at=datetime.now(UTC), claim_count=1)
    for path, state in {"hold": "canceled", "tidy": "succeeded", "release": "started"}.items():
        StepRunFactory(run_id=work.pk, run=None, path=path, kind="tool", uses="test.call", state=state)

    (orphan,) = reap(worker)
    assert (orphan.has_ended, run_of(work).state) == (False, "queued")
    assert next(iter(explain(explainable(work.pk)).reasons)).code == "cancel_requested"
    tools = Tools()
    run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.error["code"]) == ("canceled", "canceled")
    assert [path for path, *_ in tools.calls] == ["release"]
    assert broken_invariants() == {}


def test_a_run_that_was_to_be_canceled_and_has_had_its_deaths_is_canceled():
    worker = WorkerFactory()
    work = held_by(worker, cancel_requested_at=datetime.now(UTC), is_suspect=True, death_count=2)
    StepRunFactory(run_id=work.pk, run=None, path="tidy", state="started")

    reap(worker)

    assert (run_of(work).state, reload(work)) == ("canceled", None)


@pytest.mark.parametrize("suspicion", [{}, {"is_suspect": True, "death_count": 2}])
def test_a_run_that_was_to_be_canceled_is_when_its_process_dies(suspicion):
    worker = WorkerFactory()
    work = held_by(worker, cancel_requested_at=datetime.now(UTC), concurrency_key="a:b", **suspicion)

    (orphan,) = reap(worker)

    ended = run_of(work)
    assert (ended.state, ended.cause, ended.error["code"], reload(work)) == ("canceled", "", "canceled", None)
    assert ended.finished_at is not None
    assert (orphan.is_canceled, orphan.has_ended, orphan.is_quarantined) == (True, True, False)


def test_a_parked_run_keeps_its_deadline_through_a_death():
    worker, deadline = WorkerFactory(), datetime.now(UTC) + timedelta(hours=1)
    parked = held_by(worker, deadline_at=deadline, state="waiting")
    begun = held_by(worker, deadline_at=deadline)

    reap(worker)

    assert (reload(parked).deadline_at, reload(begun).deadline_at) == (deadline, None)


def test_the_work_of_others_is_left_alone():
    dead, alive = WorkerFactory(), WorkerFactory()
    theirs = held_by(alive)
    held_by(dead)

    reap(dead)

    assert reload(theirs).lease_owner == alive.boot_id


def test_a_child_that_its_supervisor_saw_die_is_handed_over_whatever_its_beat():
    worker = WorkerFactory(beat_number=99)
    work = held_by(worker)

    with_reaper(lambda reaper: reaper.hand_over(worker.boot_id, reason="ended with SIGKILL"))

    assert (Worker.objects.get().state, Worker.objects.get().last_error) == ("lost", "ended with SIGKILL")
    assert reload(work).gate == "suspect"


def test_leases_of_the_dead_are_swept_whenever_they_died():
    lost, unknown = WorkerFactory(state="lost"), uuid.uuid4()
    alive = WorkerFactory()
    strays = [held_by(lost), due_work(lease_owner=unknown, lease_epoch=1, claimed_at=datetime.now(UTC))]
    kept = held_by(alive)

    orphans = with_reaper(lambda reaper: reaper.sweep())

    assert {orphan.run_id for orphan in orphans} == {work.pk for work in strays}
    assert reload(kept).lease_owner == alive.boot_id


def test_waits_of_runs_that_have_ended_are_forgotten():
    ended, parked = RunFactory(succeeded=True), due_work()
    for run_id in (ended.pk, parked.pk):
        Wait.objects.create(run_id=run_id, path="x", kind="timer", wake_at=datetime.now(UTC))

    with_reaper(lambda reaper: reaper.sweep())

    assert [wait.run_id for wait in Wait.objects.all()] == [parked.pk]


def test_a_run_that_outlives_its_deadline_is_noticed():
    worker = WorkerFactory()
    late = held_by(worker, deadline_at=datetime.now(UTC) - timedelta(minutes=5))
    held_by(worker, deadline_at=datetime.now(UTC) - timedelta(seconds=5))

    assert with_reaper(lambda reaper: reaper.overdue()) == [(late.pk, worker.boot_id)]


def test_the_sweep_opens_gates_whose_announcement_was_lost():
    task = TaskFactory(overlap="queue_all")
    held = DueWorkFactory(run=RunFactory(task=task), gate="overlap")
    ConcurrencyKey.objects.create(key="k", limit=1)
    keyed = [due_work(gate="key", concurrency_key="k") for _ in range(2)]

    opened = sweep_gates()

    assert opened == 2
    assert reload(held).gate is None
    assert sorted(str(reload(work).gate) for work in keyed) == ["None", "key"]
    assert DueWork.objects.filter(gate="key").count() == 1


def test_an_exit_that_seems_orderly_gives_away_what_is_held_unless_the_process_has_said_that_it_stopped():
    """A tool that ends the interpreter with 0 looks like a drain."""
    ended, stopped = WorkerFactory(), WorkerFactory(state="stopped", state_reason="drained")
    work = held_by(ended)

    for worker in (ended, stopped):
        with_reaper(
            lambda reaper, boot_id=worker.boot_id: reaper.hand_over(boot_id, reason="exit code 0", seems_orderly=True)
        )

    assert reload(work).lease_owner is None
    assert dict(Worker.objects.values_list("state", "state_reason")) == {"lost": "exit code 0", "stopped": "drained"}
