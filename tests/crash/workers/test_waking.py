"""What a running host hears of: due work at once, cancellations within a second."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from scheduling.audit.operations import Actor
from scheduling.models import AuditEntry, Run
from scheduling.queues.operations import pause_queue, resume_queue
from scheduling.runs.operations import cancel_run, start_run
from tests.crash.workers.conftest import Fleet, worker_pids
from tests.factories import TaskFactory
from tests.invariants import broken_invariants
from tests.process_trees import is_alive
from tests.waiting import wait_until
from tests.workers_support import due_work, run_of

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")


@pytest.mark.parametrize("tool", ["test.hold", "test.hold_isolated", "test.hold_trusted"])
def test_a_cancel_ends_a_running_step_within_a_second(fleet: Fleet, tool: str):
    work = fleet.held_run(tool=tool)
    with fleet.host():
        wait_until(lambda: fleet.seen("began"))

        cancel_run(actor=ACTOR, run=run_of(work))
        wait_until(lambda: run_of(work).state == "canceled", what="the cancellation")

        # Both by the database's clock: the beginning of the transaction that asks, and of the one that writes the end.
        asked_at, ended_at = AuditEntry.objects.get(action="run.cancel").at, run_of(work).finished_at
        assert ended_at is not None
        assert ended_at - asked_at < timedelta(seconds=1)
        [began] = fleet.seen("began")
        if tool == "test.hold_isolated":
            wait_until(lambda: not is_alive(began["pid"]), timeout=2, what="the end of the tool's process")
    assert not fleet.seen("ended")
    assert broken_invariants() == {}


def test_a_run_that_is_asked_for_starts_before_the_next_poll(fleet: Fleet):
    task = TaskFactory()
    with fleet.host():
        wait_until(worker_pids)
        lateness = []
        for _ in range(5):
            run = start_run(actor=ACTOR, task=task)
            wait_until(lambda run=run: has_ended(run), what="the run")
            run.refresh_from_db()
            assert run.started_at is not None
            lateness.append((run.started_at - run.created_at).total_seconds())

    assert sorted(lateness)[2] < 0.2


def test_a_run_that_becomes_due_by_itself_starts_at_its_instant(fleet: Fleet):
    """A retry, a snooze, a jittered start: nobody notifies when it is due."""
    with fleet.host():
        wait_until(worker_pids)
        lateness = []
        for _ in range(5):
            work = due_work(available_at=datetime.now(UTC) + timedelta(seconds=1.2))
            wait_until(lambda work=work: has_ended(run_of(work)), what="the run")
            started_at = run_of(work).started_at
            assert started_at is not None
            lateness.append((started_at - work.available_at).total_seconds())

    assert min(lateness) >= 0
    assert sorted(lateness)[2] < 0.1


def test_a_queue_that_is_resumed_starts_before_the_next_poll(fleet: Fleet):
    task = TaskFactory(queue="mail")
    with fleet.host(queue="default,mail"):
        wait_until(worker_pids)
        waited = []
        for _ in range(5):
            pause_queue(actor=ACTOR, name="mail")
            run = start_run(actor=ACTOR, task=task)
            beside = start_run(actor=ACTOR, task=TaskFactory())
            wait_until(lambda run=beside: has_ended(run), what="the run of the other queue")
            assert not has_ended(run)
            resumed_at = time.monotonic()
            resume_queue(actor=ACTOR, name="mail")
            wait_until(lambda run=run: has_ended(run), what="the run")
            waited.append(time.monotonic() - resumed_at)

    assert sorted(waited)[2] < 0.3


def test_runs_under_one_key_go_one_after_the_other(fleet: Fleet):
    task = TaskFactory(concurrency_key="mail", concurrency_limit=1)
    runs = [start_run(actor=ACTOR, task=task) for _ in range(6)]

    with fleet.host(processes=2):
        wait_until(lambda: all(has_ended(run) for run in runs), what="every run")

    spans = list(Run.objects.filter(task=task).order_by("started_at").values_list("started_at", "finished_at"))
    assert all(end is not None and start is not None and end <= start for (_, end), (start, _) in pairwise(spans))


def has_ended(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk, state="succeeded").exists()
