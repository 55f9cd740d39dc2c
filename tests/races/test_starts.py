"""Two starters at once, with the lock held in a second connection."""

import threading

import pytest
from django.db import connection, transaction

from scheduling.audit.operations import Actor
from scheduling.errors import IllegalTransition
from scheduling.models import DueWork, Run
from scheduling.runs.admission import Admitted, Start, admit
from scheduling.runs.operations import retry_run
from scheduling.runs.states import Gate, RunState, TriggerKind
from tests.factories import RunFactory, TaskFactory
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def in_thread(start: Start, results: list[Admitted]) -> threading.Thread:
    def work() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                results.extend(admit(cursor, [start]))
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def somebody_waits_for_us() -> bool:
    """True when another session waits for a lock of this test's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return cursor.fetchone()[0] > 0


def test_of_two_that_redrive_one_run_at_once_one_is_refused() -> None:
    dead = RunFactory(dead=True)
    actor = Actor.system("tests")
    refused: list[IllegalTransition] = []

    def redrive() -> None:
        try:
            retry_run(actor=actor, run=dead)
        except IllegalTransition as error:
            refused.append(error)
        finally:
            connection.close()

    with transaction.atomic():
        retry_run(actor=actor, run=dead)
        thread = threading.Thread(target=redrive)
        thread.start()
        wait_until(somebody_waits_for_us, what="the second to wait for the run")
    thread.join(10)

    assert len(refused) == 1
    assert DueWork.objects.count() == 1


def test_two_starters_under_skip_make_one_live_run() -> None:
    task = TaskFactory(overlap="skip")
    start = Start(task_id=task.id, trigger_kind=TriggerKind.MANUAL)
    late: list[Admitted] = []

    with transaction.atomic(), connection.cursor() as cursor:
        (first,) = admit(cursor, [start])
        thread = in_thread(start, late)
        wait_until(somebody_waits_for_us, what="the second starter to wait for the task")
    thread.join(10)

    assert first.state == RunState.QUEUED
    assert late[0].state == RunState.SKIPPED
    assert DueWork.objects.count() == 1


def test_two_starters_under_one_key_do_not_exceed_its_limit() -> None:
    task = TaskFactory(concurrency_key="api", concurrency_limit=1)
    start = Start(task_id=task.id, trigger_kind=TriggerKind.MANUAL)
    late: list[Admitted] = []

    with transaction.atomic(), connection.cursor() as cursor:
        admit(cursor, [start])
        thread = in_thread(start, late)
        wait_until(somebody_waits_for_us, what="the second starter to wait for the key")
    thread.join(10)

    assert sorted(DueWork.objects.values_list("gate", flat=True), key=str) == [None, Gate.KEY]
    assert Run.objects.count() == 2
