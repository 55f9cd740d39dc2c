"""What a backfill has queued, with the lowest priority, leaves a quarter of the slots to everything else."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from scheduling.models import DueWork, Queue
from tests.db.workers.test_queue_control import fill, fill_fair
from tests.factories import AgentFactory
from tests.workers_support import bench, change, claimer, due_work, run
from workers.floors import lowest_among

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = {"version": 1, "steps": [{"id": "nap", "wait": {"for": "PT1.9S"}}, {"id": "again", "wait": {"for": "PT1.9S"}}]}


def slow(count: int, priority: int) -> list[DueWork]:
    return [due_work(SLOW, priority=priority) for _ in range(count)]


def claim(limit: int, lowest: int | None, queues: tuple[str, ...] = ("default",)) -> Counter[tuple[str, int]]:
    async def once() -> Counter[tuple[str, int]]:
        async with claimer(queues=queues) as claims:
            claimed = await claims.claim(limit=limit, lowest=lowest)
            return Counter((each.queue, each.priority) for each in claimed)

    return run(once())


@pytest.mark.parametrize(("lowest", "expected"), [(None, {9: 10}), (3, {9: 3, 5: 7}), (0, {5: 8}), (30, {9: 10})])
def test_a_claim_takes_no_more_of_the_lowest_priority_than_it_may(lowest, expected):
    fill(12, priority=9)  # so old that they come before the others
    fill(8, priority=5)
    DueWork.objects.filter(priority=9).update(available_at="2026-01-01T00:00:00Z")

    assert claim(10, lowest) == {("default", priority): count for priority, count in expected.items()}


def test_several_queues_share_what_may_be_taken():
    for queue in ("default", "mail", "slow"):
        fill(10, queue=queue, priority=9)

    taken = claim(20, 7, queues=("default", "mail", "slow"))

    assert sum(taken.values()) == 7


@pytest.mark.parametrize("queues", [1, 3, 20])
def test_where_only_one_queue_has_work_it_may_take_all(queues):
    fill(30, priority=9)

    taken = claim(20, 15, queues=("default", *(f"other-{number}" for number in range(queues - 1))))

    assert taken == {("default", 9): 15}


@pytest.mark.parametrize(("lowest", "expected"), [(None, {9: 10}), (4, {9: 4, 5: 6}), (0, {5: 8})])
def test_so_does_a_claim_of_a_fair_queue(lowest, expected):
    Queue.objects.create(name="default", is_fair=True)
    agent = AgentFactory()
    fill_fair({agent: 12}, priority=9)
    fill_fair({agent: 8}, priority=5)
    DueWork.objects.filter(priority=9).update(available_at="2026-01-01T00:00:00Z")

    assert claim(10, lowest) == {("default", priority): count for priority, count in expected.items()}


@pytest.mark.parametrize(("slots", "taken"), [(1, 1), (2, 1), (4, 3), (8, 6), (20, 15)])
def test_a_process_leaves_a_quarter_of_its_slots_to_others(slots, taken):
    slow(slots + 4, priority=9)

    async def fill_up():
        async with bench(slots=slots) as process:
            await process.pool.run_once()
            await process.pool.run_once()
            held = process.pool.running_count
            process.pool.abort()
            return held

    assert run(fill_up()) == taken


def test_a_live_run_starts_at_once_beside_a_backfill_that_has_enough_for_all_slots():
    slow(10, priority=9)
    live = due_work(SLOW, available_at=datetime.now(UTC) + timedelta(days=1))

    async def go():
        async with bench(slots=4) as process:
            await process.pool.run_once()
            await change(live, available_at=datetime.now(UTC))
            await process.pool.run_once()
            has_started = process.pool.holds(live.pk)
            held = lowest_among(each.claimed for each in process.pool._running.values())
            process.pool.abort()
            return has_started, held

    assert run(go()) == (True, 3)


async def seconds_to_work_off(process):
    """Until nothing is due any more."""
    claiming = asyncio.create_task(process.pool.run())
    began = time.monotonic()
    while await process.database.fetch(b"SELECT run_id FROM scheduling_duework"):
        await asyncio.sleep(0.02)
    took = time.monotonic() - began
    process.pool.stop_claiming()
    await claiming
    return took


@pytest.mark.parametrize("queues", [1, 3])
def test_a_backlog_of_the_lowest_priority_is_worked_off_without_a_pause(queues):
    """Not a part of it at each poll: half a second or more."""
    quick = {"version": 1, "steps": [{"id": "log", "uses": "log.write", "with": {"message": "done"}}]}
    for _ in range(60):
        due_work(quick, priority=9)

    async def go():
        names = ["default", *(f"other-{number}" for number in range(queues - 1))]
        async with bench(slots=8, queues=names) as process:
            return await seconds_to_work_off(process)

    assert run(go()) < 3


def test_the_next_of_a_backfill_is_taken_when_one_has_ended():
    quick = {"version": 1, "steps": [{"id": "log", "uses": "log.write", "with": {"message": "done"}}]}
    for _ in range(9):
        due_work(quick, priority=9)

    async def go():
        async with bench(slots=2) as process:
            return await seconds_to_work_off(process)

    assert 0.05 < run(go()) < 4  # one after the other, and not one a poll
