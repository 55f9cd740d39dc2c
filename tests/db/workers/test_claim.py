"""Which rows a claim takes, in which order, and what it leaves alone."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from scheduling.models import DueWork, Queue
from tests.factories import DueWorkFactory, RunFactory, TaskFactory
from tests.workers_support import claimer, due_work, ids, reload, run

pytestmark = pytest.mark.django_db(transaction=True)


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def claim_one_by_one(count: int) -> list[uuid.UUID]:
    async with claimer() as claims:
        return [claimed.run_id for _ in range(count) for claimed in await claims.claim(limit=1)]


def test_priority_comes_first_and_due_time_within_it():
    task = TaskFactory()
    made = [
        DueWorkFactory(run=RunFactory(task=task), priority=1 + number * 7 % 9, available_at=ago(2 - number * 0.04))
        for number in range(20)
    ]

    order = run(claim_one_by_one(25))

    assert order == [work.pk for work in sorted(made, key=lambda work: (work.priority, work.available_at))]


def test_waiting_a_minute_makes_up_for_a_step_of_priority():
    urgent_but_new = due_work(priority=1, available_at=ago(1))
    old = due_work(priority=2, available_at=ago(62))

    order = run(claim_one_by_one(2))

    assert order == [old.pk, urgent_but_new.pk]


def test_a_batch_is_returned_in_the_order_of_its_starts():
    later = due_work(available_at=ago(1))
    sooner = due_work(available_at=ago(5))

    async def claim():
        async with claimer() as claims:
            return ids(await claims.claim(limit=10))

    assert run(claim()) == [sooner.pk, later.pk]


def test_a_claim_takes_no_more_than_it_was_asked_for():
    for _ in range(5):
        due_work()

    async def claim():
        async with claimer() as claims:
            return await claims.claim(limit=2)

    assert len(run(claim())) == 2
    assert DueWork.objects.filter(lease_owner=None).count() == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"available_at": datetime.now(UTC) + timedelta(hours=1)},
        {"gate": "paused"},
        {"gate": "overlap"},
        {"gate": "key"},
        {"gate": "suspect"},
        {"queue": "other"},
        {"lease_owner": uuid.uuid4(), "lease_epoch": 1, "claimed_at": datetime.now(UTC)},
    ],
)
def test_what_sleeps_is_held_leased_or_elsewhere_is_left_alone(fields):
    due_work(**fields)

    assert run(claim_one_by_one(1)) == []


def test_a_claim_leases_with_a_new_epoch_and_remembers_the_first_start():
    task = TaskFactory(timeout=timedelta(minutes=5))
    first = ago(3600)
    work = DueWorkFactory(run=RunFactory(task=task, started_at=first), attempt=2)
    boot_id = uuid.uuid4()

    async def claim():
        async with claimer(boot_id) as claims:
            return (await claims.claim(limit=1))[0]

    claimed = run(claim())

    row = reload(work)
    assert (row.lease_owner, row.lease_epoch, row.claim_count) == (boot_id, claimed.lease_epoch, 1)
    assert row.started_at == claimed.started_at == first
    assert row.deadline_at is not None
    assert row.claimed_at is not None
    assert row.deadline_at - row.claimed_at == timedelta(minutes=5)
    assert (claimed.attempt, claimed.may_have_history) == (2, True)
    assert claimed.revision_id == task.current_revision_id


def test_an_epoch_is_never_used_twice():
    due_work()

    async def claim_and_release():
        async with claimer() as claims:
            epochs = []
            for _ in range(3):
                epochs += [claimed.lease_epoch for claimed in await claims.claim(limit=1)]
                await claims.release_unknown([])
            return epochs

    epochs = run(claim_and_release())

    assert len(set(epochs)) == 3
    assert epochs == sorted(epochs)


def test_a_parked_run_that_is_let_go_keeps_its_deadline():
    deadline = datetime.now(UTC) + timedelta(hours=1)
    parked, other = due_work(deadline_at=deadline, state="waiting"), due_work()

    async def claim_and_release():
        async with claimer() as claims:
            assert len(await claims.claim(limit=2)) == 2
            await claims.release_unknown([])

    run(claim_and_release())

    assert (reload(parked).deadline_at, reload(other).deadline_at) == (deadline, None)


def test_a_row_that_comes_back_below_the_floor_is_found_again():
    work = due_work(available_at=ago(100))
    due_work(available_at=ago(1))

    async def claim():
        async with claimer() as claims:
            await claims.claim(limit=2)
            await claims.release_unknown([])
            seen = []
            while work.pk not in seen:
                seen += ids(await claims.claim(limit=1))
            return seen

    assert work.pk in run(claim())


def test_a_row_without_its_run_is_claimed_so_that_it_cannot_block_the_queue():
    work = due_work()
    connection.cursor().execute("DELETE FROM scheduling_run WHERE id = %s", [work.pk])

    async def claim():
        async with claimer() as claims:
            return (await claims.claim(limit=1))[0]

    assert run(claim()).revision_id is None


def test_a_suspect_is_claimed_by_itself():
    first, second = due_work(gate="suspect", is_suspect=True), due_work(gate="suspect", is_suspect=True)

    async def claim():
        async with claimer() as claims:
            return await claims.claim(limit=5), await claims.claim_suspect()

    ordinary, suspect = run(claim())

    assert ordinary == []
    assert suspect.is_suspect
    assert suspect.run_id == min(first, second, key=lambda work: work.available_at).pk
    assert DueWork.objects.filter(gate="suspect").count() == 1


def next_due(*, within: float = 60.0) -> float | None:
    async def ask() -> float | None:
        async with claimer() as claims:
            return await claims.seconds_to_next_due(within=within)

    return run(ask())


def test_the_next_that_becomes_due_by_itself_is_known():
    due_work(available_at=ago(5))
    due_work(priority=9, available_at=ago(-50))
    due_work(priority=3, available_at=ago(-40))

    seconds = next_due()

    assert seconds is not None
    assert 20 < seconds <= 40


def test_what_nobody_could_claim_at_its_instant_is_not_waited_for():
    due_work(available_at=ago(-70))
    due_work(available_at=ago(-40), gate="overlap")
    due_work(available_at=ago(-40), queue="other")
    due_work(available_at=ago(-40), lease_owner=uuid.uuid4(), lease_epoch=1, claimed_at=ago(1))

    assert next_due() is None


def test_a_paused_queue_is_not_waited_for():
    due_work(available_at=ago(-40))
    Queue.objects.update_or_create(name="default", defaults={"paused_at": ago(1)})

    assert next_due() is None
