"""Two connections at once: claim and claim, settle and reap, beat and reap. Whoever loses changes nothing."""

import asyncio
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from psycopg import AsyncConnection

from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.errors import IllegalTransition
from scheduling.models import DueWork
from scheduling.runs.states import RunState
from tests.factories import WorkerFactory
from tests.workers_support import bench, claimer, database, due_work, reload, run, run_of
from workers.columns import Integers, Texts, Uuids
from workers.connection import Database, DatabaseUnavailable, conninfo
from workers.journal import JournalWriter, LeaseLost, RunJournal
from workers.models import Worker
from workers.operations import drain_worker
from workers.reaper import Reaper
from workers.row_writes import RowLocked
from workers.settlement import Settlement
from workers.statements import BEAT
from workers.tally import Tally

pytestmark = pytest.mark.django_db(transaction=True)

SUCCEEDED = Settlement(state=RunState.SUCCEEDED, attempt=1, is_final=True)


@asynccontextmanager
async def holding(statement, *parameters):
    """A second connection that has done something and not committed it yet."""
    async with await AsyncConnection.connect(conninfo()) as other:
        await other.execute(statement, parameters)
        yield other


async def waits_for_a_lock():
    async with database() as watching:
        async with asyncio.timeout(5):
            while True:
                rows = await watching.fetch(
                    b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    b" AND wait_event_type = 'Lock'"
                )
                if rows[0][0]:
                    return
                await asyncio.sleep(0.01)


@asynccontextmanager
async def one_leased_run(boot_id):
    async with claimer(boot_id) as claims, database() as opened:
        [claimed] = await claims.claim(limit=1)
        tally: Tally = Counter()
        writer = JournalWriter(opened, boot_id=boot_id, may_write=lambda: True, tally=tally)
        writing = asyncio.create_task(writer.run())
        try:
            yield RunJournal(writer, run_id=claimed.run_id, epoch=claimed.lease_epoch, tally=tally)
        finally:
            writing.cancel()


def beat(opened, worker):
    return opened.fetch(
        BEAT,
        {
            "boot_ids": Uuids([worker.boot_id]),
            "running_counts": Integers([1]),
            "doings": Texts([None]),
            "errors": Texts([None]),
        },
    )


def test_five_workers_claim_ten_rows_and_none_twice():
    for _ in range(10):
        due_work()

    async def claim_all():
        async with AsyncExitStack() as stack:
            claimers = [await stack.enter_async_context(claimer()) for _ in range(5)]
            taken = []
            for _ in range(4):
                for batch in await asyncio.gather(*(claims.claim(limit=1) for claims in claimers)):
                    taken += [claimed.run_id for claimed in batch]
            return taken

    taken = run(claim_all())

    assert len(taken) == len(set(taken)) == 10
    assert DueWork.objects.filter(lease_owner=None).count() == 0


def test_a_row_that_another_is_claiming_is_passed_over_and_not_waited_for():
    busy, free = due_work(priority=1), due_work(priority=9)

    async def claim():
        lock = b"SELECT FROM scheduling_duework WHERE run_id = %s FOR UPDATE"
        async with holding(lock, busy.pk), claimer() as claims:
            return [claimed.run_id for claimed in await claims.claim(limit=2)]

    assert run(claim()) == [free.pk]


def test_a_settlement_that_waited_for_the_reaper_is_void():
    work, boot_id = due_work(), uuid.uuid4()

    async def race():
        async with one_leased_run(boot_id) as journal:
            taking = (
                b"UPDATE scheduling_duework SET lease_owner = NULL, claimed_at = NULL,"
                b" lease_epoch = nextval('scheduling_lease_epoch') WHERE run_id = %s"
            )
            async with holding(taking, work.pk) as reaper:
                settling = asyncio.create_task(journal.settle(SUCCEEDED))
                await waits_for_a_lock()
                await reaper.commit()
                with pytest.raises(LeaseLost):
                    await settling

    run(race())

    assert run_of(work).state == "queued"
    assert reload(work) is not None


def test_a_reaper_that_waited_for_the_settlement_takes_nothing():
    work = due_work()
    worker = WorkerFactory()
    DueWork.objects.update(lease_owner=worker.boot_id, lease_epoch=1, claimed_at=datetime.now(UTC))

    async def race():
        async with database() as opened, holding(b"DELETE FROM scheduling_duework WHERE run_id = %s", work.pk) as other:
            reaping = asyncio.create_task(Reaper(opened).reap(worker.boot_id, worker.beat_number))
            await waits_for_a_lock()
            await other.commit()
            return await reaping

    assert run(race()) == []


def test_a_beat_that_comes_first_saves_the_process():
    worker = WorkerFactory(beat_number=3)

    async def race():
        beating = b"UPDATE workers_worker SET beat_number = beat_number + 1 WHERE boot_id = %s"
        async with database() as opened, holding(beating, worker.boot_id) as other:
            with pytest.raises(RowLocked):
                await Reaper(opened).reap(worker.boot_id, 3)
            await other.commit()
            return await Reaper(opened).reap(worker.boot_id, 3)

    assert run(race()) is None
    assert Worker.objects.get().state == "running"


def test_a_beat_that_comes_after_the_reaper_is_not_acknowledged():
    worker = WorkerFactory()

    async def race():
        losing = b"UPDATE workers_worker SET state = 'lost' WHERE boot_id = %s"
        async with database() as opened, holding(losing, worker.boot_id) as reaper:
            meanwhile = await beat(opened, worker)
            await reaper.commit()
            return meanwhile, await beat(opened, worker)

    assert run(race()) == ([(worker.boot_id, False, False)], [])
    assert Worker.objects.get().state == "lost"


def test_two_reapers_give_the_work_away_once():
    worker = WorkerFactory()
    due_work(lease_owner=worker.boot_id, lease_epoch=1, claimed_at=datetime.now(UTC), is_suspect=True)

    async def race():
        async with database() as first, database() as second:
            return await asyncio.gather(
                Reaper(first).reap(worker.boot_id, worker.beat_number),
                Reaper(second).reap(worker.boot_id, worker.beat_number),
                return_exceptions=True,
            )

    results = run(race())

    [orphans] = [result for result in results if result is not None and not isinstance(result, RowLocked)]
    assert len(orphans) == 1
    assert DueWork.objects.get().death_count == 1


def test_a_drain_that_waited_for_the_reaper_is_refused():
    worker = WorkerFactory()

    async def race():
        losing = b"UPDATE workers_worker SET state = 'lost' WHERE boot_id = %s"
        async with holding(losing, worker.boot_id) as reaper:
            asking = asyncio.create_task(asyncio.to_thread(ask_to_drain, worker))
            await waits_for_a_lock()
            await reaper.commit()
            return await asking

    assert run(race()) == "refused"
    assert Worker.objects.get().drain_requested_at is None
    assert not AuditEntry.objects.exists()


def test_what_a_claim_takes_while_a_drain_begins_goes_back_unstarted():
    for _ in range(3):
        due_work()

    async def race():
        async with bench() as process, holding(b"LOCK TABLE scheduling_duework IN EXCLUSIVE MODE") as other:
            process.pool._suspects_at = time.monotonic()  # it has just looked for suspects
            claiming = asyncio.create_task(process.pool.run_once())
            await waits_for_a_lock()
            process.pool.stop_claiming()
            await other.commit()
            await claiming
            await process.pool.drain(timedelta(0))
            return process.tally["claimed"]

    assert run(race()) == 3
    assert list(DueWork.objects.values_list("lease_owner", "handback_count")) == [(None, 0)] * 3


def ask_to_drain(worker):
    try:
        drain_worker(actor=Actor.system("tests"), worker=worker)
    except IllegalTransition:
        return "refused"
    finally:
        connection.close()
    return "asked"


def test_a_reaper_that_stands_still_in_the_middle_of_a_hand_over_lets_go_of_it():
    """Frozen, or on a host that sleeps: its locks must not keep the leases of the dead from everybody else."""
    worker = WorkerFactory()
    work = due_work(lease_owner=worker.boot_id, lease_epoch=1, claimed_at=datetime.now(UTC))
    has_locked, may_go_on = threading.Event(), threading.Event()

    async def stand_still():
        frozen = Database(name="frozen", address=conninfo(), limit=timedelta(seconds=1))
        with pytest.raises(DatabaseUnavailable):  # noqa: PT012 (the transaction is what raises)
            async with frozen.transaction() as connection:
                await connection.execute("SELECT FROM workers_worker FOR UPDATE")
                has_locked.set()
                may_go_on.wait(20)  # the whole loop, and no time-out of its own
                await connection.execute("SELECT 1")
        await frozen.close()

    async def reap():
        async with database() as opened:
            while True:
                with suppress(RowLocked):
                    return await Reaper(opened).reap(worker.boot_id, worker.beat_number)
                await asyncio.sleep(0.05)

    with ThreadPoolExecutor() as threads:
        standing = threads.submit(run, stand_still(), within=30)
        try:
            assert has_locked.wait(10)
            orphans = run(reap(), within=9)
        finally:
            may_go_on.set()
        standing.result(20)

    assert [orphan.run_id for orphan in orphans] == [work.pk]
