"""Rates of concurrency keys: tokens are taken at admission."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from scheduling.models import ConcurrencyKey, DueWork, RateBucket
from scheduling.queues.selectors import bucket_wait
from scheduling.runs.admission import Start, admit
from scheduling.runs.gates import release_gated
from scheduling.runs.states import Gate, TriggerKind
from tests.factories import TaskFactory
from workers.gates import sweep_gates

RATED = {"concurrency_key": "api", "concurrency_limit": 50, "rate_limit": 3, "rate_period": timedelta(hours=1)}


def start(*tasks):
    with transaction.atomic(), connection.cursor() as cursor:
        return admit(cursor, [Start(task_id=task.pk, trigger_kind=TriggerKind.MANUAL) for task in tasks])


def release(keys):
    with transaction.atomic(), connection.cursor() as cursor:
        return release_gated(cursor, keys=keys)


def admitted():
    return DueWork.objects.filter(gate=None).count()


def set_back(span):
    RateBucket.objects.update(refilled_at=datetime.now(UTC) - span)


@pytest.mark.django_db
def test_a_key_admits_as_many_as_it_has_tokens():
    task = TaskFactory(**RATED)

    start(*[task] * 5)

    assert admitted() == 3
    assert DueWork.objects.filter(gate=Gate.KEY).count() == 2
    key = ConcurrencyKey.objects.get().key
    wait = bucket_wait(f"key:{key}")
    assert wait is not None
    assert 1100 < wait <= 1200


@pytest.mark.django_db
def test_the_sweep_admits_when_a_token_is_due_and_no_earlier():
    task = TaskFactory(**RATED)
    start(*[task] * 5)

    early = sweep_gates()
    set_back(timedelta(minutes=21))
    in_time = sweep_gates()

    assert (early, in_time) == (0, 1)
    assert admitted() == 4


@pytest.mark.django_db
def test_the_end_of_a_run_gives_room_but_no_token():
    task = TaskFactory(**RATED)
    runs = start(*[task] * 5)
    key = ConcurrencyKey.objects.get().key
    DueWork.objects.filter(pk=runs[0].run_id).delete()

    assert release([key]) == 0


@pytest.mark.django_db
def test_the_limit_holds_beside_the_rate_and_takes_no_token_that_it_does_not_use():
    task = TaskFactory(**{**RATED, "concurrency_limit": 2})
    start(*[task] * 5)

    assert admitted() == 2
    assert 1 <= RateBucket.objects.get().tokens < 1.1


@pytest.mark.django_db
def test_a_key_without_a_rate_has_no_bucket():
    start(TaskFactory(concurrency_key="api", concurrency_limit=1))

    assert not RateBucket.objects.exists()


@pytest.mark.django_db
def test_a_rate_that_is_taken_away_lets_the_rest_go():
    task = TaskFactory(**RATED)
    start(*[task] * 5)
    ConcurrencyKey.objects.update(rate_limit=None, rate_period=None)

    assert sweep_gates() == 2
    assert bucket_wait(f"key:{ConcurrencyKey.objects.get().key}") is None


@pytest.mark.django_db(transaction=True)
def test_many_starters_at_once_share_the_tokens_exactly():
    task = TaskFactory(**{**RATED, "rate_limit": 5})
    start(task)
    barrier = threading.Barrier(6)

    def start_some():
        try:
            barrier.wait()
            for _ in range(3):
                start(task)
        finally:
            connection.close()

    threads = [threading.Thread(target=start_some) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert admitted() == 5
    assert DueWork.objects.count() == 19


@pytest.mark.django_db(transaction=True)
def test_a_token_that_came_while_the_key_was_held_counts_from_when_the_lock_was_granted():
    """The transaction began long before: its `now()` would date the tokens into the past, and lose or double them."""
    task = TaskFactory(**{**RATED, "rate_limit": 1, "rate_period": timedelta(seconds=1)})
    start(task)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        cursor.execute("SELECT pg_sleep(1.1)")
        admit(cursor, [Start(task_id=task.pk, trigger_kind=TriggerKind.MANUAL)])

    start(task)

    assert admitted() == 2
