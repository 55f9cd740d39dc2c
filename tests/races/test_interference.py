"""People and workers at once, with the lock held elsewhere: snooze against claim and park, redrive against redrive."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from scheduling.audit.operations import Actor
from scheduling.bulk.operations import carry_on, create_redrive
from scheduling.errors import IllegalTransition
from scheduling.models import BulkOperation, DueWork, Run
from scheduling.runs.operations import retry_run, snooze_run
from tests.factories import DueWorkFactory, RunFactory, WorkerFactory
from tests.races.test_starts import somebody_waits_for_us
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")


def in_thread(work, said):
    def guarded():
        try:
            said.append(work())
        except IllegalTransition as refused:
            said.append(refused)
        finally:
            connection.close()

    thread = threading.Thread(target=guarded)
    thread.start()
    return thread


def snooze(work):
    return lambda: snooze_run(actor=ACTOR, run=Run.objects.get(pk=work.pk), span=timedelta(hours=1))


def test_a_snooze_that_waited_for_a_claim_leaves_the_lease_alone():
    work = DueWorkFactory()
    said: list[object] = []

    with transaction.atomic():
        DueWork.objects.filter(pk=work.pk).update(
            lease_owner=WorkerFactory().pk, lease_epoch=1, claimed_at=datetime.now(UTC)
        )
        thread = in_thread(snooze(work), said)
        wait_until(somebody_waits_for_us, what="the snooze to wait for the claim")
    thread.join(10)

    assert isinstance(said[0], IllegalTransition)
    assert said[0].allowed_actions == ("cancel",)
    assert DueWork.objects.get(pk=work.pk).available_at == work.available_at


def test_a_snooze_that_waited_for_a_park_does_not_move_what_the_run_waits_for():
    now = datetime.now(UTC)
    work = DueWorkFactory(lease_owner=WorkerFactory().pk, lease_epoch=1, claimed_at=now)
    said: list[object] = []

    with transaction.atomic():
        DueWork.objects.filter(pk=work.pk).update(lease_owner=None, claimed_at=None)
        Run.objects.filter(pk=work.pk).update(state="waiting")
        thread = in_thread(snooze(work), said)
        wait_until(somebody_waits_for_us, what="the snooze to wait for the park")
    thread.join(10)

    assert isinstance(said[0], IllegalTransition)
    assert DueWork.objects.get(pk=work.pk).available_at == work.available_at


def test_a_batch_that_waited_for_a_person_redrives_the_others_only():
    by_hand, other = (RunFactory(dead=True) for _ in range(2))
    create_redrive(actor=ACTOR, agent=None, given={}, expected_count=2)
    said: list[object] = []

    with transaction.atomic():
        retry_run(actor=ACTOR, run=by_hand)
        thread = in_thread(carry_on, said)
        wait_until(somebody_waits_for_us, what="the batch to wait for the run")
    thread.join(10)

    operation = BulkOperation.objects.get()
    assert said == [2]
    assert (operation.done_count, operation.skipped_count, operation.state) == (1, 1, "finished")
    assert set(DueWork.objects.values_list("pk", flat=True)) == {by_hand.pk, other.pk}


def test_two_clocks_redrive_each_run_once():
    runs = [RunFactory(dead=True) for _ in range(6)]
    create_redrive(actor=ACTOR, agent=None, given={}, expected_count=6)
    said: list[object] = []

    threads = [in_thread(carry_on, said) for _ in range(4)]
    for thread in threads:
        thread.join(10)
    carry_on()

    assert BulkOperation.objects.get().done_count == 6
    assert set(DueWork.objects.values_list("pk", flat=True)) == {run.pk for run in runs}
