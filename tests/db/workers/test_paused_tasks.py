"""A run that a worker held when its task was paused, and that goes back to sleep, waits for the end of the pause."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from psycopg import AsyncConnection

from scheduling.audit.operations import Actor
from scheduling.models import ConcurrencyKey, DueWork, Run, Task
from scheduling.queues.models import RateBucket
from scheduling.queues.operations import update_queue
from scheduling.runs.operations import start_run
from scheduling.tasks.operations import pause_task, resume_task
from tests.db.workers.test_execution import Tools, calling, make_due, refusing, run_once
from tests.workers_support import Bench, bench, database, due_work, reload, run, run_of, until
from workers.connection import conninfo

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
RETRIED = {"retry": {"max_attempts": 5, "initial": "PT1S"}}


def pause(work: DueWork) -> None:
    pause_task(actor=ACTOR, task=Task.objects.get(pk=work.task_id))


def resume(work: DueWork) -> None:
    resume_task(actor=ACTOR, task=Task.objects.get(pk=work.task_id))


def gate_of(work: DueWork) -> str | None:
    return DueWork.objects.get(pk=work.pk).gate


async def aside(function: Callable[[Any], Any], work: DueWork | None) -> Any:
    """In a thread with a connection of its own, which does not outlive it."""

    def call() -> Any:
        try:
            return function(work)
        finally:
            connection.close()

    return await asyncio.to_thread(call)


@dataclass
class Pausing(Tools):
    """While it is at work its task is paused."""

    work: DueWork | None = None

    async def call(self, context: Any, /, **given: Any) -> Any:
        if not self.calls:
            await aside(pause, self.work)
        return await super().call(context, **given)


def held_in_a_pause(how: str, **fields: Any) -> DueWork:
    """A run whose task was paused while it ran, and that was put back since: to be retried, or by a drain."""
    work = due_work(calling(), task=RETRIED, **fields)
    tools = Pausing(answers=[refusing()], work=work, holds=how == "drained")

    async def interrupted() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            if how == "drained":
                await process.pool.drain(timedelta(0))
            await process.settled()

    run(interrupted())
    make_due()
    return work


@pytest.mark.parametrize("how", ["retried", "drained"])
def test_what_was_put_back_in_a_pause_waits_for_its_end(how):
    work = held_in_a_pause(how)
    before = reload(work)
    tools = Tools()

    run_once(tools)

    held = reload(work)
    assert (held.gate, held.lease_owner, held.claim_count) == ("paused", None, before.claim_count)
    assert (held.attempt, held.started_at, held.deadline_at) == (before.attempt, before.started_at, before.deadline_at)
    assert (run_of(work).state, tools.calls) == ("queued", [])

    resume(work)
    run_once(tools)
    assert (run_of(work).state, len(tools.calls)) == ("succeeded", 1)


def test_what_was_never_started_begins_to_count_when_it_starts():
    """As when it lay in the line before the slots of a process that drained."""
    work = due_work(calling())
    pause(work)
    DueWork.objects.update(gate=None)

    run_once(Tools())

    held = reload(work)
    assert (held.gate, held.claim_count, held.started_at, held.deadline_at) == ("paused", 0, None, None)


def test_what_is_started_by_hand_in_the_pause_runs_in_it():
    work = due_work()
    pause(work)
    by_hand = start_run(actor=ACTOR, task=Task.objects.get(pk=work.task_id))

    run_once(Tools())

    assert Run.objects.get(pk=by_hand.pk).state == "succeeded"
    assert reload(work).gate == "paused"


def test_a_suspect_is_held_back_and_is_a_suspect_again_afterwards():
    work = due_work(calling(), gate="suspect", is_suspect=True)
    pause(work)
    tools = Tools()

    run_once(tools)
    assert (reload(work).gate, tools.calls) == ("paused", [])

    resume(work)
    assert reload(work).gate == "suspect"
    run_once(tools)
    assert run_of(work).state == "succeeded"


def test_the_tokens_and_the_room_of_what_is_held_back_are_for_others():
    update_queue(actor=ACTOR, name="default", changes={"rate": {"limit": 1000, "period": "P1D"}})
    ConcurrencyKey.objects.create(key="narrow", limit=1)
    held, other = due_work(calling(), concurrency_key="narrow"), due_work(calling(), concurrency_key="narrow")
    DueWork.objects.filter(pk=other.pk).update(gate="key")
    pause(held)
    DueWork.objects.filter(pk=held.pk).update(gate=None)

    async def both(process: Bench) -> None:
        await process.pool.run_once()
        await until(lambda: process.pool.running_count == 0)

    async def work() -> None:
        async with bench(catalog=Tools().catalog) as process:
            await both(process)
            while await aside(gate_of, other) is not None:
                await asyncio.sleep(0.01)
            await both(process)

    run(work())

    assert (reload(held).gate, run_of(other).state) == ("paused", "succeeded")
    assert round(RateBucket.objects.get(key="queue:default").tokens) == 999  # of two starts one came about


def test_a_resumption_that_comes_first_leaves_nothing_behind_its_gate():
    """The claim has seen the pause; before the run is held back the task is resumed, in another connection."""
    work = due_work(calling())
    pause(work)
    DueWork.objects.update(gate=None)
    tools = Tools()

    async def race() -> None:
        async with await AsyncConnection.connect(conninfo()) as other, bench(catalog=tools.catalog) as process:
            await other.execute(
                "UPDATE scheduling_task SET state = 'active', paused_at = NULL WHERE id = %s", [work.task_id]
            )
            claiming = asyncio.create_task(process.pool.run_once())
            await until_somebody_waits()
            assert not claiming.done()
            await other.commit()
            await claiming
            assert await aside(gate_of, work) is None
            await process.run_all()

    run(race())

    assert (run_of(work).state, len(tools.calls)) == ("succeeded", 1)


async def until_somebody_waits() -> None:
    statement = b"SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
    async with database("watching") as watching, asyncio.timeout(5):
        while not (await watching.fetch(statement))[0][0]:
            await asyncio.sleep(0.01)
