"""A second connection holds the row of one worker process. No statement of a host waits for it, or for its end."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from psycopg import AsyncConnection

from tests.factories import WorkerFactory
from tests.workers_support import database, due_work, reload, run, until
from workers import keeper as keeping
from workers.columns import Integers, Texts, Uuids
from workers.connection import conninfo
from workers.keeper import Keeper, Left
from workers.links import Link
from workers.models import Worker
from workers.reaper import Reaper
from workers.retention.kinds import NO_ID
from workers.row_writes import RowLocked, RowWrite, outcome
from workers.statements import BEAT, CHANGE_STATE, PRUNE_WORKERS, REGISTER

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 5.0  # seconds: half of the limit of a statement that waits


@asynccontextmanager
async def locked(worker):
    """The row is held until the end of the block, or until the connection commits."""
    async with await AsyncConnection.connect(conninfo()) as other:
        await other.execute("SELECT FROM workers_worker WHERE boot_id = %s FOR UPDATE", [worker.boot_id])
        yield other


@asynccontextmanager
async def host(**links):
    """A keeper without its tasks, over links whose processes have just ticked."""
    made = []
    for name, worker in links.items():
        link = Link(name)
        link.boot_id, link.report = worker.boot_id, {"registered": True, "number": 7, "running": 1}
        made.append(link)
    keeper = Keeper(made)
    try:
        yield keeper, made
    finally:
        await keeper.stop(())
        for link in made:
            link.close()


def held_by(worker, **fields):
    return due_work(lease_owner=worker.boot_id, lease_epoch=7, claimed_at=datetime.now(UTC), **fields)


def change(worker, state):
    told = {"boot_id": worker.boot_id, "state": state, "reason": "because", "by_signal": "told"}
    return CHANGE_STATE, told


def test_a_beat_passes_over_a_locked_row_and_beats_for_the_others():
    first, second = WorkerFactory(), WorkerFactory()

    async def race():
        async with database() as opened, locked(first) as other:
            beats = {
                "boot_ids": Uuids([first.boot_id, second.boot_id]),
                "running_counts": Integers([1, 1]),
                "doings": Texts([None, None]),
                "errors": Texts([None, None]),
            }
            meanwhile = await opened.fetch(BEAT, beats)
            await other.commit()
            return set(meanwhile), set(await opened.fetch(BEAT, beats))

    meanwhile, after = run(race(), within=AT_ONCE)

    assert meanwhile == {(first.boot_id, False, False), (second.boot_id, False, True)}
    assert after == {(first.boot_id, False, True), (second.boot_id, False, True)}
    assert [Worker.objects.get(pk=worker.pk).beat_number for worker in (first, second)] == [1, 2]


def test_a_host_acknowledges_no_beat_that_was_not_written_and_takes_none_for_a_loss():
    first, second = WorkerFactory(), WorkerFactory()

    async def race():
        async with host(first=first, second=second) as (keeper, [theirs, other]), locked(first) as holder:
            await keeper.beat_once()
            meanwhile = [(link._beaten_number, link.is_told_to_drain) for link in (theirs, other)], keeper.is_ready
            await holder.commit()
            await keeper.beat_once()
            return meanwhile, theirs._beaten_number, [link.theirs.recv(1000) for link in (theirs, other)]

    meanwhile, after, told = run(race(), within=AT_ONCE)

    assert meanwhile == ([(0, False), (7, False)], True)
    assert after == 7
    assert all(b'"ack"' in message for message in told)


def test_a_wish_to_drain_is_heard_though_the_row_is_locked():
    worker = WorkerFactory(drain_requested_at=datetime.now(UTC))

    async def race():
        async with host(only=worker) as (keeper, [link]), locked(worker):
            await keeper.beat_once()
            return link.is_told_to_drain, keeper.is_ready

    assert run(race(), within=AT_ONCE) == (True, False)


def test_registering_again_does_not_wait():
    worker = WorkerFactory()
    row = {"boot_id": worker.boot_id, "supervisor_id": worker.supervisor_id, "host": "h", "pid": 1, "release": "r"}

    async def race():
        async with database() as opened, locked(worker):
            await opened.fetch(REGISTER, {**row, "queues": Texts(["default"]), "slots": 1})

    run(race(), within=AT_ONCE)

    assert Worker.objects.get().host == worker.host


@pytest.mark.parametrize("state", ["draining", "stopped"])
def test_a_change_of_state_does_without_a_locked_row_and_is_written_afterwards(state):
    worker = WorkerFactory()

    async def race():
        async with database() as opened, locked(worker) as other:
            meanwhile = outcome(await opened.fetch(*change(worker, state)))
            await other.commit()
            return meanwhile, outcome(await opened.fetch(*change(worker, state)))

    assert run(race(), within=AT_ONCE) == (RowWrite.LOCKED, RowWrite.DONE)
    assert (Worker.objects.get().state, Worker.objects.get().state_reason) == (state, "because")


def test_a_change_of_state_of_a_lost_process_is_not_wanted_and_not_tried_again():
    worker = WorkerFactory(state="lost")

    async def race():
        async with database() as opened, locked(worker):
            return outcome(await opened.fetch(*change(worker, "stopped")))

    assert run(race(), within=AT_ONCE) is RowWrite.UNWANTED


def test_a_reaper_reaps_the_others_and_comes_back_to_the_locked_one(monkeypatch):
    first, second = WorkerFactory(), WorkerFactory()
    works = [held_by(first), held_by(second)]

    async def race():
        async with host() as (keeper, _), locked(first) as other:
            monkeypatch.setattr(keeper._observations, "look", lambda beats, now: [*beats])
            await keeper.reap_once()
            meanwhile = await asyncio.to_thread(states)
            await other.commit()
            await keeper.reap_once()
            return meanwhile

    assert run(race(), within=AT_ONCE) == {first.pk: "running", second.pk: "lost"}
    assert states() == {first.pk: "lost", second.pk: "lost"}
    assert [reload(work).lease_owner for work in works] == [None, None]


def states():
    try:
        return dict(Worker.objects.values_list("pk", "state"))
    finally:
        connection.close()


def test_nobody_knows_of_a_locked_row_whether_its_process_has_beaten():
    worker = WorkerFactory()
    work = held_by(worker)

    async def race():
        async with database() as opened, locked(worker):
            with pytest.raises(RowLocked):
                await Reaper(opened).reap(worker.boot_id, worker.beat_number)

    run(race(), within=AT_ONCE)

    assert reload(work).lease_owner == worker.boot_id


@pytest.mark.parametrize("seems_orderly", [False, True])
def test_the_leases_of_a_dead_process_are_given_away_at_once_and_its_row_is_told_later(monkeypatch, seems_orderly):
    monkeypatch.setattr(keeping, "LOCKED_ROW_EVERY", 0.05)
    worker = WorkerFactory()
    work = held_by(worker)

    async def race():
        async with host() as (keeper, _), locked(worker) as other:
            handing = asyncio.create_task(keeper.hand_over(worker.boot_id, reason="ended", seems_orderly=seems_orderly))
            async with asyncio.timeout(3):
                while (await asyncio.to_thread(owner_of, work)) is not None:
                    await asyncio.sleep(0.01)
            is_over = handing.done()
            await other.commit()
            await handing
            return is_over

    assert run(race(), within=AT_ONCE) is False
    assert (Worker.objects.get().state, Worker.objects.get().state_reason) == ("lost", "ended")
    assert reload(work).gate == "suspect"


def owner_of(work):
    try:
        return reload(work).lease_owner
    finally:
        connection.close()


def test_a_host_ends_in_time_and_hands_over_what_the_others_left(monkeypatch):
    monkeypatch.setattr(keeping, "LAST_TRIES_WITHIN", 0.5)
    first, second = WorkerFactory(), WorkerFactory()
    works = [held_by(first), held_by(second)]

    async def race():
        async with host() as (keeper, _), locked(first):
            await keeper.stop(
                [Left(boot_id=each.boot_id, reason="killed", seems_orderly=False) for each in (first, second)]
            )

    run(race(), within=AT_ONCE)

    assert [reload(work).lease_owner for work in works] == [None, None]
    assert states() == {first.pk: "running", second.pk: "lost"}


def test_the_reason_of_a_replacement_is_written_when_the_row_is_free(monkeypatch):
    monkeypatch.setattr(keeping, "LOCKED_ROW_EVERY", 0.05)
    worker = WorkerFactory()

    async def race():
        async with host() as (keeper, _), locked(worker) as other:
            saying = asyncio.create_task(keeper.say_why(worker.boot_id, "it is large"))
            await until(lambda: worker.boot_id in keeper._locked._told_at)
            await other.commit()
            await saying

    run(race(), within=AT_ONCE)

    assert Worker.objects.get().state_reason == "it is large"


def test_the_reason_of_a_replacement_is_not_tried_for_ever(monkeypatch):
    monkeypatch.setattr(keeping, "LOCKED_ROW_EVERY", 0.05)
    monkeypatch.setattr(keeping, "SAYS_WHY_FOR", 0.2)
    worker = WorkerFactory()

    async def race():
        async with host() as (keeper, _), locked(worker):
            await keeper.say_why(worker.boot_id, "it is large")

    run(race(), within=AT_ONCE)

    assert Worker.objects.get().state_reason == ""


def test_retention_passes_over_a_locked_row_and_deletes_the_others():
    long_ago = datetime.now(UTC) - timedelta(days=90)
    first, _ = (WorkerFactory(state="stopped", stopped_at=long_ago) for _ in range(2))

    async def race():
        async with database() as opened, locked(first):
            return await opened.fetch(PRUNE_WORKERS, {"after": NO_ID, "age": timedelta(days=30), "limit": 10})

    run(race(), within=AT_ONCE)

    assert list(Worker.objects.values_list("pk", flat=True)) == [first.pk]
