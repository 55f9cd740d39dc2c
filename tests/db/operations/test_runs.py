"""Runs: started, canceled and retried, in every state they may be in."""

from datetime import timedelta

import pytest

from scheduling.audit.models import AuditEntry
from scheduling.errors import IllegalTransition, NotValid
from scheduling.instants import database_now
from scheduling.models import DueWork, Run
from scheduling.runs import operations
from scheduling.runs.selectors import effective_state, in_state, with_due_work
from scheduling.runs.states import Gate, RunState
from scheduling.tasks.operations import archive_task, pause_task
from tests.factories import DueWorkFactory, RunFactory, TaskFactory, WorkerFactory

pytestmark = pytest.mark.django_db


def lease(work: DueWork) -> DueWork:
    worker = WorkerFactory()
    work.lease_owner, work.lease_epoch, work.claimed_at = worker.boot_id, 1, database_now()
    work.save()
    return work


def test_a_run_started_by_hand_is_queued_at_once(actor):
    task = TaskFactory(params={"city": "Chisinau", "limit": 5})

    run = operations.start_run(actor=actor, task=task, params={"limit": 7}, simulate=True)

    assert effective_state(run) == RunState.QUEUED
    assert run.params == {"city": "Chisinau", "limit": 7}
    assert run.simulated
    assert run.triggered_by == "system:tests"
    assert DueWork.objects.get(pk=run.pk).gate is None


def test_a_run_can_be_started_while_the_task_is_paused(actor):
    task = TaskFactory()
    pause_task(actor=actor, task=task)

    run = operations.start_run(actor=actor, task=task)

    assert DueWork.objects.get(pk=run.pk).gate is None


# Each deed in a transaction of its own: what is started in that of a pause is taken for older than it.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", [{}, {"concurrency_key": "api", "concurrency_limit": 1}])
def test_a_run_that_was_started_in_a_pause_follows_the_one_before_it_in_the_pause(actor, key):
    task = TaskFactory(overlap="queue_all", **key)
    pause_task(actor=actor, task=task)
    first, second = (operations.start_run(actor=actor, task=task) for _ in range(2))
    assert [DueWork.objects.get(pk=run.pk).gate for run in (first, second)] == [None, Gate.OVERLAP]

    operations.cancel_run(actor=actor, run=first)

    assert DueWork.objects.get().gate is None


def test_what_was_held_before_the_pause_stays_held_when_a_run_by_hand_ends(actor):
    task = TaskFactory(overlap="queue_all")
    before = DueWorkFactory(
        run=RunFactory(task=task, created_at=database_now() - timedelta(minutes=1)), gate=Gate.OVERLAP
    )
    live = DueWorkFactory(run=RunFactory(task=task))
    pause_task(actor=actor, task=task)

    operations.cancel_run(actor=actor, run=live.run)

    before.refresh_from_db()
    assert before.gate == Gate.OVERLAP


def test_an_archived_task_starts_nothing(actor):
    task = TaskFactory()
    archive_task(actor=actor, task=task)

    with pytest.raises(IllegalTransition):
        operations.start_run(actor=actor, task=task)
    assert not Run.objects.exists()


@pytest.mark.parametrize("params", [["a"], "a", {"city": "a\x00b"}, {"n": 2**60}, {"n": float("nan")}])
def test_params_that_cannot_be_stored_are_refused_at_their_place(actor, params):
    with pytest.raises(NotValid) as refused:
        operations.start_run(actor=actor, task=TaskFactory(), params=params)

    assert refused.value.problems[0].pointer.startswith("/params")


def test_params_that_break_the_schema_start_no_run(actor):
    task = TaskFactory(document={"steps": [], "needs": ["city"]})

    with pytest.raises(NotValid):
        operations.start_run(actor=actor, task=task, params={"town": "x"})
    assert not Run.objects.exists()


def test_a_queued_run_is_canceled_at_once(actor):
    run = DueWorkFactory().run

    canceled = operations.cancel_run(actor=actor, run=run, reason="wrong city")

    assert effective_state(canceled) == RunState.CANCELED
    assert canceled.finished_at is not None
    assert not DueWork.objects.exists()


def test_a_running_run_is_asked_to_stop(actor, django_capture_on_commit_callbacks):
    work = lease(DueWorkFactory())

    with django_capture_on_commit_callbacks() as callbacks:
        asked = operations.cancel_run(actor=actor, run=work.run)
        operations.cancel_run(actor=actor, run=work.run)

    assert effective_state(asked) == RunState.RUNNING
    assert asked.due_work.cancel_requested_at is not None
    assert len(callbacks) == 2


@pytest.mark.parametrize("kind", ["succeeded", "dead"])
def test_a_run_that_has_ended_cannot_be_canceled(actor, kind):
    run = RunFactory(**{kind: True})

    with pytest.raises(IllegalTransition) as refused:
        operations.cancel_run(actor=actor, run=run)

    assert refused.value.allowed_actions == (("retry",) if kind == "dead" else ())
    assert not AuditEntry.objects.exists()


def test_canceling_lets_the_next_run_of_an_exclusive_task_go(actor):
    task = TaskFactory(overlap="queue_all")
    first = operations.start_run(actor=actor, task=task)
    second = operations.start_run(actor=actor, task=task)
    assert DueWork.objects.get(pk=second.pk).gate == Gate.OVERLAP

    operations.cancel_run(actor=actor, run=first)

    assert DueWork.objects.get(pk=second.pk).gate is None


def test_a_failed_run_is_queued_again_with_all_its_attempts(actor):
    run = RunFactory(dead=True, attempt=3)

    retried = operations.retry_run(actor=actor, run=run)

    assert (effective_state(retried), retried.cause, retried.finished_at) == (RunState.QUEUED, "", None)
    work = DueWork.objects.get(pk=run.pk)
    assert (work.attempt, work.gate, work.lease_owner) == (1, None, None)
    assert work.started_at == run.started_at


def test_of_two_that_retry_the_same_run_one_succeeds(actor):
    run = RunFactory(dead=True)
    operations.retry_run(actor=actor, run=run)

    with pytest.raises(IllegalTransition) as refused:
        operations.retry_run(actor=actor, run=run)

    assert refused.value.allowed_actions == ("cancel", "snooze")
    assert DueWork.objects.count() == 1


def test_a_retried_run_stands_behind_the_gates_of_its_task(actor):
    task = TaskFactory(concurrency_key="printer", concurrency_limit=1)
    operations.start_run(actor=actor, task=task)
    dead = RunFactory(task=task, dead=True)

    operations.retry_run(actor=actor, run=dead)

    assert DueWork.objects.get(pk=dead.pk).gate == Gate.KEY


def test_runs_are_found_by_what_they_do_now():
    queued = DueWorkFactory().run
    running = lease(DueWorkFactory()).run
    waiting = DueWorkFactory(run=RunFactory(state=RunState.WAITING)).run
    dead = RunFactory(dead=True)

    found = {state: [run.pk for run in in_state(with_due_work(), state)] for state in RunState}

    assert found == {
        RunState.QUEUED: [queued.pk],
        RunState.RUNNING: [running.pk],
        RunState.WAITING: [waiting.pk],
        RunState.FAILED: [dead.pk],
        RunState.SUCCEEDED: [],
        RunState.CANCELED: [],
        RunState.SKIPPED: [],
        RunState.MISSED: [],
    }
