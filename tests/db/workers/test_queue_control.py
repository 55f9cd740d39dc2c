"""What a claim makes of paused, limited, fair and heavy queues."""

from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from scheduling.audit.operations import Actor
from scheduling.models import DueWork, Queue, RateBucket
from scheduling.queues.operations import pause_queue, resume_queue, update_queue
from tests.factories import AgentFactory, DueWorkFactory, RunFactory, TaskFactory
from tests.workers_support import claimer, due_work, ids, run

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def fill(count: int, *, queue: str = "default", agent=None, **fields):
    """Due work of one task, oldest first."""
    task = TaskFactory(queue=queue, **({"agent": agent} if agent else {}))
    return [
        DueWorkFactory(run=RunFactory(task=task), available_at=ago(100 + count - number), **fields)
        for number in range(count)
    ]


def fill_fair(counts: dict[Any, int], *, queue: str = "default", **fields):
    for agent, count in counts.items():
        fill(count, queue=queue, agent=agent, agent_id=agent.pk, **fields)


def apart(work):
    """Do it in a thread, and leave no connection of that thread behind."""
    try:
        work()
    finally:
        connection.close()


def claim(*limits: int, queues=("default",)):
    """The batches that one process claims."""

    async def claim_all():
        async with claimer(queues=queues) as claims:
            return [await claims.claim(limit=limit) for limit in limits]

    return run(claim_all())


@asynccontextmanager
async def settled_claimer(queues):
    """A claimer that has read its queues' rows."""
    async with claimer(queues=queues) as claims:
        await claims.claim(limit=1)
        yield claims


def test_a_paused_queue_is_not_claimed_from_and_others_are():
    held, other = due_work(), due_work(queue="other")
    pause_queue(actor=ACTOR, name="default", reason="the printer burns")

    [claimed] = claim(10, queues=["default", "other"])

    assert ids(claimed) == [other.pk]
    assert DueWork.objects.get(pk=held.pk).lease_owner is None


def test_a_pause_holds_from_the_next_claim_of_a_process_that_has_heard_nothing():
    due_work()

    async def claim_after_the_pause():
        from asgiref.sync import sync_to_async

        async with settled_claimer(["default", "other"]) as claims:
            await sync_to_async(pause_queue)(actor=ACTOR, name="other")
            await sync_to_async(apart)(lambda: due_work(queue="other"))
            held = await claims.claim(limit=10)
            await sync_to_async(apart)(lambda: resume_queue(actor=ACTOR, name="other"))
            return held, await claims.claim(limit=10)

    held, free = run(claim_after_the_pause())

    assert (len(held), len(free)) == (0, 1)


def test_a_pause_that_is_over_is_no_pause():
    work = due_work()
    Queue.objects.create(name="default", paused_at=ago(60), paused_until=ago(1))

    assert ids(claim(1)[0]) == [work.pk]


def test_a_suspect_of_a_paused_queue_waits_too():
    due_work(gate="suspect", is_suspect=True)
    pause_queue(actor=ACTOR, name="default")

    async def claim_suspects():
        async with claimer() as claims:
            return await claims.claim_suspect()

    assert run(claim_suspects()) is None


def test_a_paused_queue_holds_back_limited_and_fair_queues_as_well():
    fill(2, queue="slow")
    fill_fair({AgentFactory(): 2}, queue="fair")
    update_queue(actor=ACTOR, name="slow", changes={"rate": {"limit": 10, "period": "PT1S"}})
    update_queue(actor=ACTOR, name="fair", changes={"fair": True})
    for name in ("slow", "fair"):
        pause_queue(actor=ACTOR, name=name)

    assert claim(10, queues=["slow", "fair"]) == [[]]
    assert RateBucket.objects.get().tokens == 10


def test_a_rate_lets_its_burst_through_and_then_no_more():
    fill(10)
    update_queue(actor=ACTOR, name="default", changes={"rate": {"limit": 4, "period": "PT1H", "burst": 3}})

    first, second = claim(10, 10)

    assert (len(first), len(second)) == (3, 0)
    assert [run.available_at for run in first] == sorted(run.available_at for run in first)


def test_tokens_come_back_with_time_and_no_further_than_the_burst():
    fill(20)
    update_queue(actor=ACTOR, name="default", changes={"rate": {"limit": 4, "period": "PT1H", "burst": 6}})
    claim(10)
    RateBucket.objects.update(refilled_at=ago(1800 + 60))
    [after_half_an_hour] = claim(10)
    RateBucket.objects.update(refilled_at=ago(86_400))
    [after_a_day] = claim(10)

    assert (len(after_half_an_hour), len(after_a_day)) == (2, 6)


def test_a_claim_says_when_the_next_token_comes_and_only_where_one_was_lacking():
    fill(2)
    update_queue(actor=ACTOR, name="default", changes={"rate": {"limit": 1, "period": "PT5S"}})

    async def look():
        async with claimer() as claims:
            waits = []
            for _ in range(2):
                await claims.claim(limit=10)
                waits.append(claims.look_in)
            return waits

    first, second = run(look())

    assert 4 < second <= first <= 5
    DueWork.objects.all().delete()
    RateBucket.objects.update(refilled_at=ago(60))
    assert claim(10) == [[]]


def test_a_process_that_has_not_heard_of_a_new_rate_takes_nothing_rather_than_too_much():
    async def claim_behind_the_times():
        from asgiref.sync import sync_to_async

        async with settled_claimer(["default"]) as claims:
            await sync_to_async(apart)(lambda: (fill(5), update_rate()))
            unaware = await claims.claim(limit=10)
            claims.queues_have_changed()
            return unaware, await claims.claim(limit=10)

    def update_rate():
        update_queue(actor=ACTOR, name="default", changes={"rate": {"limit": 2, "period": "PT1H"}})

    unaware, aware = run(claim_behind_the_times())

    assert (len(unaware), len(aware)) == (0, 2)


def test_a_suspect_of_a_limited_queue_takes_a_token():
    for _ in range(2):
        due_work(gate="suspect", is_suspect=True)
    update_queue(actor=ACTOR, name="default", changes={"rate": {"limit": 1, "period": "PT1H"}})

    async def claim_suspects():
        async with claimer() as claims:
            return [await claims.claim_suspect() for _ in range(2)]

    first, second = run(claim_suspects())

    assert first is not None
    assert second is None


def test_a_bucket_far_ahead_of_the_clock_does_not_stop_its_queue():
    """The wall clock was set back by hours: what the bucket holds is good from now on."""
    fill(3)
    update_queue(actor=ACTOR, name="default", changes={"rate": {"limit": 2, "period": "PT1H"}})
    RateBucket.objects.update(refilled_at=datetime.now(UTC) + timedelta(hours=5), tokens=1)

    assert [len(batch) for batch in claim(5, 5)] == [1, 0]


def test_agents_of_a_fair_queue_take_turns():
    loud, quiet, late = (AgentFactory() for _ in range(3))
    fill_fair({loud: 20, quiet: 2, late: 1})
    update_queue(actor=ACTOR, name="default", changes={"fair": True})

    first, second = claim(6, 6)

    assert Counter(run.agent_id for run in first) == {loud.pk: 3, quiet.pk: 2, late.pk: 1}
    assert {run.agent_id for run in first[:3]} == {loud.pk, quiet.pk, late.pk}
    assert [run.agent_id for run in second] == [loud.pk] * 6


def test_claims_of_one_run_rotate_over_the_agents():
    agents = [AgentFactory() for _ in range(3)]
    fill_fair(dict.fromkeys(agents, 5))
    update_queue(actor=ACTOR, name="default", changes={"fair": True})

    served = [run.agent_id for batch in claim(*[1] * 6) for run in batch]

    assert Counter(served) == dict.fromkeys((agent.pk for agent in agents), 2)
    assert len(set(served[:3])) == 3


def test_an_agents_own_runs_go_by_priority_and_age():
    agent = AgentFactory()
    old, urgent, new = (
        due_work(task={"agent": agent}, agent_id=agent.pk, priority=priority, available_at=ago(seconds))
        for priority, seconds in [(5, 90), (1, 1), (5, 30)]
    )
    update_queue(actor=ACTOR, name="default", changes={"fair": True})

    assert [ids(batch)[0] for batch in claim(1, 1, 1)] == [urgent.pk, old.pk, new.pk]


def test_more_agents_than_one_claim_looks_at_are_all_served():
    agents = [AgentFactory() for _ in range(70)]
    sleeping = AgentFactory()
    fill_fair(dict.fromkeys(agents, 1))
    due_work(task={"agent": sleeping}, agent_id=sleeping.pk, available_at=datetime.now(UTC) + timedelta(hours=1))
    update_queue(actor=ACTOR, name="default", changes={"fair": True})

    [batch] = claim(100)

    assert len(batch) == 70


def test_agents_who_only_sleep_do_not_hide_the_one_who_waits():
    for _ in range(130):
        agent = AgentFactory()
        due_work(task={"agent": agent}, agent_id=agent.pk, available_at=datetime.now(UTC) + timedelta(hours=1))
    waiting = AgentFactory()
    fill_fair({waiting: 1})
    update_queue(actor=ACTOR, name="default", changes={"fair": True})

    [batch] = claim(5)

    assert [run.agent_id for run in batch] == [waiting.pk]


def test_rows_that_were_admitted_while_fairness_changed_are_claimed_all_the_same():
    agent = AgentFactory()
    Queue.objects.create(name="fair", is_fair=True)
    [without_agent] = fill(1, queue="fair", agent=agent)
    with_agent = fill(1, queue="plain", agent=agent, agent_id=agent.pk)[0]

    assert ids(claim(5, queues=["fair"])[0]) == [without_agent.pk]
    assert ids(claim(5, queues=["plain"])[0]) == [with_agent.pk]


def test_a_fair_queue_with_a_rate_deals_its_tokens_in_turn():
    loud, quiet = AgentFactory(), AgentFactory()
    fill_fair({loud: 20, quiet: 20})
    update_queue(actor=ACTOR, name="default", changes={"fair": True, "rate": {"limit": 6, "period": "PT1H"}})

    first, second = claim(10, 10)

    assert Counter(run.agent_id for run in first) == {loud.pk: 3, quiet.pk: 3}
    assert second == []


def test_a_claim_is_shared_by_weight_between_queues_with_due_work():
    fill(30, queue="heavy")
    fill(30, queue="light")
    update_queue(actor=ACTOR, name="heavy", changes={"weight": 4})

    [batch] = claim(10, queues=["light", "heavy", "empty"])

    assert Counter(run.queue for run in batch) == {"heavy": 8, "light": 2}


def test_what_a_queue_cannot_use_goes_to_the_others():
    fill(1, queue="heavy")
    fill(30, queue="light")
    update_queue(actor=ACTOR, name="heavy", changes={"weight": 9})

    [batch] = claim(10, queues=["light", "heavy"])

    assert Counter(run.queue for run in batch) == {"heavy": 1, "light": 9}


def test_a_limited_queue_does_not_change_the_order_of_the_others():
    """Queues of the same weight stay one line, by due time and priority."""
    urgent = [due_work(queue="a", priority=1, available_at=ago(1)).pk for _ in range(4)]
    fill(4, queue="b", priority=9)
    fill(4, queue="slow")
    update_queue(actor=ACTOR, name="slow", changes={"rate": {"limit": 10, "period": "PT1S"}})

    [batch] = claim(6, queues=["a", "b", "slow"])

    assert Counter(run.queue for run in batch) == {"a": 4, "slow": 2}
    assert {run.run_id for run in batch if run.queue == "a"} == set(urgent)


def test_with_equal_weights_priority_holds_across_queues():
    fill(5, queue="a", priority=9)
    urgent = due_work(queue="b", priority=1)
    for name in "ab":
        update_queue(actor=ACTOR, name=name, changes={"weight": 7})

    assert ids(claim(1, queues=["a", "b"])[0]) == [urgent.pk]
