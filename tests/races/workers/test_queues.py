"""Queues that are operated while they are claimed from, and buckets that several processes want at once."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from psycopg import AsyncConnection

from scheduling.audit.operations import Actor
from scheduling.models import DueWork, RateBucket, Run
from scheduling.queues.operations import pause_queue, update_queue
from scheduling.runs.admission import Start, admit
from scheduling.runs.states import TriggerKind
from tests.factories import AgentFactory, DueWorkFactory, RunFactory, TaskFactory
from tests.workers_support import claimer, due_work, run
from workers.connection import conninfo

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")


def fill(count):
    task = TaskFactory()
    runs = Run.objects.bulk_create(RunFactory.build(task=task, revision=task.current_revision) for _ in range(count))
    DueWork.objects.bulk_create(DueWorkFactory.build(run=each, task=task) for each in runs)


def limit(rate_limit, period, **more):
    update_queue(actor=ACTOR, name="default", changes={"rate": {"limit": rate_limit, "period": period, **more}})


def operate(work):
    """Run an operation in a thread, and leave no connection of that thread behind."""

    def done():
        try:
            work()
        finally:
            connection.close()

    return sync_to_async(done)()


def test_who_finds_a_bucket_taken_claims_nothing_and_does_not_wait():
    fill(5)
    limit(5, "PT1H")

    async def race():
        async with claimer() as loser, await AsyncConnection.connect(conninfo()) as winner:
            await winner.execute("SELECT key FROM scheduling_ratebucket FOR UPDATE")
            claimed = await asyncio.wait_for(loser.claim(limit=5), 2)
            return claimed, loser.look_in

    claimed, look_in = run(race())

    assert claimed == []
    assert look_in < 0.1
    assert DueWork.objects.filter(lease_owner=None).count() == 5
    assert RateBucket.objects.get().tokens == 5


def test_a_bucket_that_is_taken_holds_up_its_own_queue_alone():
    fill(2)
    other = due_work(queue="other")
    limit(5, "PT1H")

    async def race():
        async with claimer(queues=["default", "other"]) as claims, await AsyncConnection.connect(conninfo()) as winner:
            await winner.execute("SELECT key FROM scheduling_ratebucket FOR UPDATE")
            return await asyncio.wait_for(claims.claim(limit=5), 2)

    assert [claimed.run_id for claimed in run(race())] == [other.pk]


def test_two_claimers_share_one_bucket_to_the_token():
    fill(40)
    limit(7, "PT1H")

    async def race():
        async with claimer() as first, claimer() as second:
            taken = []
            for _ in range(10):
                for batch in await asyncio.gather(first.claim(limit=4), second.claim(limit=4)):
                    taken += batch
            return taken

    taken = run(race())

    assert len(taken) == 7
    assert len({claimed.run_id for claimed in taken}) == 7
    assert 0 <= RateBucket.objects.get().tokens < 0.1


def test_a_claim_that_is_not_committed_takes_no_token():
    """The crash of a process between its claim and the commit: runs and tokens are both back."""
    fill(3)
    limit(3, "PT1H")

    class Killed(Exception):
        pass

    async def crash():
        async with claimer() as claims:
            shared = claims._shared
            spend = shared._spend

            async def spend_and_die(connection):
                await spend(connection)
                raise Killed

            shared._spend = spend_and_die  # type: ignore[method-assign]
            with pytest.raises(Killed):
                await claims.claim(limit=3)

    run(crash())

    assert DueWork.objects.filter(lease_owner=None).count() == 3
    assert RateBucket.objects.get().tokens == 3


def test_four_claimers_start_no_more_in_any_window_than_the_rate_and_its_burst():
    fill(400)
    limit(40, "PT1S", burst=10)

    async def claim_for(claims, seconds):
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            await claims.claim(limit=8)
            await asyncio.sleep(claims.look_in or 0.01)

    async def race():
        async with AsyncExitStack() as stack:
            claimers = [await stack.enter_async_context(claimer()) for _ in range(4)]
            await asyncio.gather(*(claim_for(claims, 4.0) for claims in claimers))

    run(race(), within=30)

    claimed_at = DueWork.objects.exclude(lease_owner=None).values_list("claimed_at", flat=True)
    starts = sorted(at for at in claimed_at if at is not None)
    for at, first in enumerate(starts):
        window = [start for start in starts[at:] if start < first + timedelta(seconds=1)]
        assert len(window) <= 40 + 10
    took = (starts[-1] - starts[0]).total_seconds()
    assert len(starts) <= 10 + 40 * took + 1
    assert len(starts) >= 10 + 40 * 3.0 * 0.8, "tokens were lost"


def test_a_pause_waits_for_no_claim_and_the_next_claim_heeds_it():
    fill(20)

    async def race():
        async with claimer() as claims, await AsyncConnection.connect(conninfo()) as claiming:
            # Another process is in the middle of its claim: it has locked rows and not committed.
            await claiming.execute("SELECT run_id FROM scheduling_duework ORDER BY run_id LIMIT 5 FOR NO KEY UPDATE")
            await asyncio.wait_for(operate(lambda: pause_queue(actor=ACTOR, name="default")), 5)
            held = await claims.claim(limit=20)
            await claiming.commit()
            return held, await claims.claim(limit=20)

    assert run(race()) == ([], [])
    assert DueWork.objects.filter(lease_owner=None).count() == 20


def test_nothing_is_claimed_after_the_pause_has_been_confirmed():
    fill(300)

    async def claim_on(claims, stop):
        taken = []
        while not stop.is_set():
            taken += await claims.claim(limit=3)
            await asyncio.sleep(0)
        return taken

    async def race():
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            claimers = [await stack.enter_async_context(claimer()) for _ in range(3)]
            claiming = [asyncio.create_task(claim_on(claims, stop)) for claims in claimers]
            await asyncio.sleep(0.1)
            await operate(lambda: pause_queue(actor=ACTOR, name="default"))
            async with await AsyncConnection.connect(conninfo(), autocommit=True) as clock:
                cursor = await clock.execute("SELECT clock_timestamp()")
                (paused_at,) = await cursor.fetchone()
            await asyncio.sleep(0.3)
            stop.set()
            taken = [claimed for batch in await asyncio.gather(*claiming) for claimed in batch]
        return paused_at, taken

    paused_at, taken = run(race())

    assert taken, "nothing was claimed before the pause, so that this proves nothing"
    assert max(claimed.read_at for claimed in taken) - paused_at < timedelta(seconds=0.2)
    later = DueWork.objects.filter(claimed_at__gt=paused_at).count()
    assert later == 0


def test_runs_that_start_while_fairness_is_turned_on_are_all_claimed():
    """Whichever snapshot an admission has of the queue, its run is in one of the two indexes."""
    agents = [AgentFactory() for _ in range(3)]
    tasks = [TaskFactory(agent=agent) for agent in agents]

    def start():
        with connection.cursor() as cursor:
            for task in tasks:
                admit(cursor, [Start(task_id=task.pk, trigger_kind=TriggerKind.MANUAL)])

    def turn(is_fair):
        update_queue(actor=ACTOR, name="default", changes={"fair": is_fair})

    async def race():
        taken = []
        async with claimer() as claims:
            for is_fair in (True, False, True, False):
                await asyncio.gather(
                    *(operate(start) for _ in range(3)), operate(lambda is_fair=is_fair: turn(is_fair))
                )
                taken += await claims.claim(limit=4)
            claims.queues_have_changed()
            while batch := await claims.claim(limit=50):
                taken += batch
        return taken

    taken = run(race(), within=60)

    assert len(taken) == len({claimed.run_id for claimed in taken}) == 36
