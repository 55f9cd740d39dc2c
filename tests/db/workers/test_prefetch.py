"""What a process claims beyond its slots: it waits for a moment and no longer, and loses nothing by it."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from scheduling.models import ConcurrencyKey, DueWork
from scheduling.queues.models import Queue, RateBucket
from tests.db.workers.test_execution import Tools, calling
from tests.workers_support import bench, change, database, due_work, reload, run, run_of, until
from workers.prefetch import AHEAD, LONGEST_WAIT, Prefetch

pytestmark = pytest.mark.django_db(transaction=True)


WARM = 40


def warm_and_later(later, **fields):
    """Due work that lets the slots turn over quickly, and more that `come` makes due."""
    for _ in range(WARM):
        due_work(calling())
    far = datetime.now(UTC) + timedelta(hours=1)
    return [due_work(calling(), available_at=far, **fields) for _ in range(later)]


async def warm_up(process) -> None:
    while process.tally["settled:succeeded"] < WARM:
        await process.pool.run_once()
        await asyncio.sleep(0.001)


async def come(*works) -> None:
    for place, work in enumerate(works):
        await change(work, available_at=datetime.now(UTC) - timedelta(minutes=10 - place))


async def count_held(process) -> int:
    statement = b"SELECT count(*) FROM scheduling_duework WHERE lease_owner = %(boot_id)s"
    async with database("counts") as opened:
        ((count,),) = await opened.fetch(statement, {"boot_id": process.boot_id})
    return count


def test_nothing_is_claimed_ahead_for_slots_that_do_not_turn_over():
    for _ in range(9):
        due_work(calling())
    tools = Tools(holds=True)

    async def work():
        async with bench(slots=4, catalog=tools.catalog) as process:
            await process.pool.run_once()
            await process.pool.run_once()
            return await count_held(process)

    assert run(work()) == 4


def test_what_waits_too_long_for_a_slot_goes_back_for_another_host():
    later = warm_and_later(4)
    tools = Tools()

    async def work():
        async with bench(slots=2, catalog=tools.catalog) as process:
            await warm_up(process)
            tools.holds = True
            await come(*later)
            await process.pool.run_once()
            held = await count_held(process)
            claiming = asyncio.create_task(process.pool.run())
            async with asyncio.timeout(LONGEST_WAIT + 5):
                while await count_held(process) > 2:
                    await asyncio.sleep(0.05)
            process.pool.stop_claiming()
            await claiming
            return held

    assert run(work()) > 2
    left = list(DueWork.objects.filter(lease_owner=None))
    assert len(left) == 2
    assert {(row.handback_count, row.attempt, row.deadline_at) for row in left} == {(0, 1, None)}


def test_the_time_out_of_a_run_begins_with_its_slot():
    first, second = warm_and_later(2)
    late = due_work(calling(), available_at=first.available_at, task={"timeout": timedelta(seconds=1)})
    tools = Tools()

    async def work():
        async with bench(slots=2, catalog=tools.catalog) as process:
            await warm_up(process)
            tools.seconds = 0.7
            await come(first, second, late)
            await process.pool.run_once()
            assert process.pool.holds(late.pk)
            await until(lambda: not process.pool.holds(late.pk))

    run(work())

    assert (run_of(first).state, run_of(late).state) == ("succeeded", "succeeded")


def test_a_run_that_is_canceled_while_it_waits_for_a_slot_ends_at_once():
    later = warm_and_later(3)
    tools = Tools()

    async def work():
        async with bench(slots=2, catalog=tools.catalog) as process:
            await warm_up(process)
            tools.holds = True
            await come(*later)
            await process.pool.run_once()
            assert process.pool.holds(later[2].pk)
            await change(later[2], cancel_requested_at=datetime.now(UTC))
            await process.pool.watch_once()
            await until(lambda: not process.pool.holds(later[2].pk))
            return process.pool.running_count

    assert run(work()) == 2
    assert len(tools.calls) == WARM + 2
    assert (run_of(later[2]).state, reload(later[2])) == ("canceled", None)


def test_as_many_may_wait_as_the_slots_start_in_a_moment():
    prefetch = Prefetch(slots=20)
    assert prefetch.places(0.0) == 0

    for tenth in range(30):
        for _ in range(4):
            prefetch.note_end()
        prefetch.places(tenth / 10)
    assert prefetch.places(2.9) == pytest.approx(40 * AHEAD, abs=1)

    assert prefetch.places(60.0) == 0


def test_a_process_of_one_slot_claims_nothing_ahead():
    prefetch = Prefetch(slots=1)
    for _ in range(1000):
        prefetch.note_end()

    assert prefetch.places(0.0) == 0


def test_what_is_given_back_gives_back_its_tokens():
    rate = {"rate_limit": 1, "rate_period": timedelta(hours=1)}
    Queue.objects.create(name="default", **rate)
    ConcurrencyKey.objects.create(key="a:mail", limit=1, **rate)
    for bucket in ("queue:default", "key:a:mail"):
        RateBucket.objects.create(key=bucket, tokens=0, refilled_at=datetime.now(UTC))
    boot_id = uuid.uuid4()
    work = due_work(lease_owner=boot_id, lease_epoch=1, claimed_at=datetime.now(UTC), concurrency_key="a:mail")
    # Another holds the key's only place, or what is given back would be let through again at once.
    other = due_work(lease_owner=uuid.uuid4(), lease_epoch=2, claimed_at=datetime.now(UTC), concurrency_key="a:mail")

    async def give_back():
        async with bench() as process:
            process.pool._boot_id = boot_id
            await process.pool._give_back([work.pk, other.pk])

    run(give_back())

    assert (reload(work).lease_owner, reload(other).lease_owner is None) == (None, False)
    assert dict(RateBucket.objects.values_list("key", "tokens")) == {"queue:default": 1, "key:a:mail": 1}
