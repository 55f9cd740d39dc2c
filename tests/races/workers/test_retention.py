"""Retention against those who want the same rows at the same instant, and against its own kind."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from scheduling.audit.operations import Actor
from scheduling.models import ConcurrencyKey, DueWork, Run
from scheduling.runs.admission import Start, admit
from scheduling.runs.operations import retry_run
from scheduling.runs.states import TriggerKind
from tests.db.workers.test_retention import ended, lap, turn
from tests.db.workers.test_retention_by_kind import artifact
from tests.factories import StepRunFactory, TaskFactory
from tests.invariants import broken_invariants
from tests.races.test_starts import somebody_waits_for_us
from tests.waiting import wait_until
from tests.workers_support import database, run
from workers.columns import Blobs, Texts
from workers.connection import DatabaseUnavailable, conninfo
from workers.models import Artifact, Retention, StepRun
from workers.retention import turns
from workers.statements import KEEP_ARTIFACT

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)
HOLD_KIND = "SELECT pg_advisory_xact_lock(%s, %s)"


def in_a_thread(work):
    """Start `work` on a connection of its own; returns a function that waits for it and gives what it returned."""
    found = []

    def go():
        try:
            found.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=go)
    thread.start()

    def wait():
        thread.join(20)
        assert not thread.is_alive()
        return found[0]

    return wait


def test_a_run_that_somebody_is_redriving_is_left_alone():
    old, other = ended(100 * DAY, "failed"), ended(100 * DAY, "failed")
    StepRunFactory(run=old)
    with psycopg.connect(conninfo()) as redriver:
        redriver.execute("UPDATE scheduling_run SET state = 'queued', cause = '' WHERE id = %s", [old.pk])

        assert lap("failed") == {"failed": 1}
        redriver.rollback()

    assert list(Run.objects.all()) == [old]
    assert StepRun.objects.count() == 1
    assert other.pk != old.pk


def test_a_redrive_that_comes_too_late_finds_nothing():
    old = ended(100 * DAY, "failed")
    assert lap("failed") == {"failed": 1}

    with pytest.raises(ObjectDoesNotExist):
        retry_run(actor=Actor.system("test"), run=old)

    assert not Run.objects.exists()
    assert broken_invariants() == {}


def hold(other, name):
    """As another host does that deletes of a kind, until its transaction ends."""
    other.execute(HOLD_KIND, [turns._LOCK_SPACE, turns.lock_number(name)])


def test_while_one_host_deletes_a_kind_another_deletes_none_of_it():
    old = ended(100 * DAY)
    with psycopg.connect(conninfo()) as other:
        hold(other, "succeeded")

        assert turn() == {}
        assert Run.objects.filter(pk=old.pk).exists()

    assert lap("succeeded") == {"succeeded": 1}


def test_a_lap_that_somebody_asks_for_waits_for_the_host_that_is_at_it(monkeypatch):
    old, batches, batch = ended(100 * DAY), [], turns.Retention.batch

    async def seen(self, kind):
        batches.append(await batch(self, kind))
        return batches[-1]

    monkeypatch.setattr(turns.Retention, "batch", seen)
    with psycopg.connect(conninfo()) as other:
        hold(other, "succeeded")
        wait = in_a_thread(lambda: lap("succeeded"))
        wait_until(lambda: len(batches) > 2, what="the lap to try again")
        assert Run.objects.filter(pk=old.pk).exists()

    assert wait() == {"succeeded": 1}


def test_a_host_that_does_not_end_is_told_of(monkeypatch):
    ended(100 * DAY)
    ended(100 * DAY, "failed")
    monkeypatch.setattr(turns, "PATIENCE", timedelta(seconds=0.2))
    with psycopg.connect(conninfo()) as other:
        hold(other, "succeeded")

        with pytest.raises(CommandError, match="another host has been deleting of succeeded all the while"):
            call_command("prune", "--kind", "succeeded", "--kind", "failed")

    assert Run.objects.get().state == "succeeded"


def test_several_hosts_delete_every_row_once(settings):
    settings.ORDINAUT_RETENTION_BATCH = 7
    for _ in range(60):
        StepRunFactory(run=ended(100 * DAY))

    waits = [in_a_thread(lambda: lap("succeeded")) for _ in range(3)]
    deleted = [wait().get("succeeded", 0) for wait in waits]
    deleted.append(lap("succeeded").get("succeeded", 0))

    assert sum(deleted) == 60
    assert not Run.objects.exists()
    assert Retention.objects.get(kind="succeeded").deleted_count == 60
    assert broken_invariants() == {}


def test_a_result_that_is_kept_again_is_not_deleted_under_the_journal():
    """Retention has judged an orphan old, and waits for the worker that makes it young again."""
    orphan = artifact("a", DAY)

    async def keep_and_prune():
        async with database("journal") as journal, journal.transaction() as connection:
            cursor = connection.cursor()
            await cursor.execute(KEEP_ARTIFACT, {"digests": Texts([orphan.pk]), "contents": Blobs([b"x"])})
            pruning = asyncio.create_task(asyncio.to_thread(in_a_thread(lambda: lap("artifacts"))))
            async with database("looking") as looking:
                while not await looking.fetch(
                    b"SELECT 1 FROM pg_stat_activity WHERE query LIKE '%prune_artifacts%' AND wait_event_type = 'Lock'"
                ):
                    await asyncio.sleep(0.01)
        return await pruning

    assert run(keep_and_prune()) == {}
    kept = Artifact.objects.get()
    assert kept.created_at > datetime.now(UTC) - DAY / 24


def test_a_result_whose_orphan_was_just_deleted_is_written_again():
    orphan = artifact("a", DAY)
    with psycopg.connect(conninfo()) as pruner:
        pruner.execute("DELETE FROM workers_artifact")

        async def keep():
            async with database("journal") as journal:
                await journal.fetch(KEEP_ARTIFACT, {"digests": Texts([orphan.pk]), "contents": Blobs([b"x"])})

        wait = in_a_thread(lambda: run(keep()))
        pruner.commit()
        wait()

    assert bytes(Artifact.objects.get().content) == b"x"


def test_a_turn_that_is_cut_off_has_deleted_whole_runs_or_nothing(settings, monkeypatch):
    settings.ORDINAUT_RETENTION_BATCH = 5
    for _ in range(20):
        StepRunFactory(run=ended(100 * DAY))
        monkeypatch.setattr(turns, "RETENTION_MOVED", b"SELECT pg_terminate_backend(pg_backend_pid()), %(kind)s::text")

    with pytest.raises(DatabaseUnavailable):
        lap("succeeded")

    assert (Run.objects.count(), StepRun.objects.count()) == (20, 20)
    assert Retention.objects.get(kind="succeeded").deleted_count == 0
    monkeypatch.undo()
    assert lap("succeeded") == {"succeeded": 20}
    assert broken_invariants() == {}


def test_a_key_under_which_a_start_is_not_committed_yet_stays():
    task = TaskFactory(concurrency_key="api", concurrency_limit=1)
    start = Start(task_id=task.pk, trigger_kind=TriggerKind.MANUAL)
    with transaction.atomic(), connection.cursor() as cursor:
        admit(cursor, [start])
    DueWork.objects.all().delete()  # the key is there, and nobody holds it

    with transaction.atomic(), connection.cursor() as cursor:
        admit(cursor, [start])
        assert in_a_thread(lambda: lap("keys"))() == {}

    assert ConcurrencyKey.objects.count() == DueWork.objects.count() == 1


def test_a_start_that_finds_its_key_being_deleted_makes_it_anew():
    task = TaskFactory(concurrency_key="api", concurrency_limit=1)
    start = Start(task_id=task.pk, trigger_kind=TriggerKind.MANUAL)
    with transaction.atomic(), connection.cursor() as cursor:
        admit(cursor, [start])
    DueWork.objects.all().delete()

    def begin():
        with transaction.atomic(), connection.cursor() as cursor:
            return admit(cursor, [start])

    with transaction.atomic():
        ConcurrencyKey.objects.all().delete()
        wait = in_a_thread(begin)
        wait_until(somebody_waits_for_us, what="the start to wait for the key")
    wait()

    assert ConcurrencyKey.objects.get().key == DueWork.objects.get().concurrency_key
