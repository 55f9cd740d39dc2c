"""Another transaction holds the row of a worker process: somebody has typed FOR UPDATE and gone for lunch."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest

from tests.crash.workers.conftest import Fleet, wait_for_end_of, worker_pids
from tests.invariants import broken_invariants
from tests.waiting import wait_until
from tests.workers_support import reload, run_of
from workers.connection import conninfo
from workers.models import StepRun, Worker

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def locked(boot_id: UUID) -> Iterator[psycopg.Connection]:
    """The row is held until the end of the block, or until the connection commits."""
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT FROM workers_worker WHERE boot_id = %s FOR UPDATE", [boot_id])
        yield other


def test_a_locked_row_costs_its_process_alone_and_its_work_is_done_meanwhile(fleet: Fleet):
    works = [fleet.held_run(), fleet.held_run()]
    with fleet.host(processes=2, concurrency=1) as host:
        began = wait_until(lambda: fleet.seen("began")[1:] and fleet.seen("began"))
        theirs, other = (Worker.objects.get(pid=line["pid"]) for line in began)
        lease = next((row.lease_owner, row.lease_epoch) for row in map(reload, works) if row.lease_owner == other.pk)
        with locked(theirs.pk):
            wait_until(lambda: Worker.objects.get(pk=other.pk).beat_number > other.beat_number + 15, what="beats")
            wait_until(lambda: len(fleet.seen("began")) == 3, what="the run of the one in the hands of a third")

            assert lease in {(row.lease_owner, row.lease_epoch) for row in map(reload, works)}
            assert Worker.objects.get(pk=theirs.pk).state == "running"
            fleet.release()
            wait_until(lambda: all(run_of(work).state == "succeeded" for work in works))
        gone = wait_until(lambda: Worker.objects.filter(pk=theirs.pk, state="lost").first(), what="its row to say so")

        assert "no acknowledged beat" in gone.state_reason
        assert host.poll() is None
        assert len(worker_pids()) == 2
    assert len(fleet.seen("note", "before")) == 2
    assert fleet.logs().count("worker.row_is_locked") < 10
    assert broken_invariants() == {}


@pytest.mark.parametrize("signals", [1, 2])
def test_a_host_ends_in_order_and_in_time_while_the_row_of_its_process_is_locked(fleet: Fleet, signals: int):
    fleet.env |= {"ORDINAUT_ABORT_AFTER": "10", "ORDINAUT_REAP_AFTER": "15"}
    fleet.env["ORDINAUT_GRACE"] = "60" if signals == 2 else "1"
    work = fleet.held_run()
    with fleet.host() as host:
        [began] = wait_until(lambda: fleet.seen("began"))
        with locked(Worker.objects.get(pid=began["pid"]).pk):
            terminated_at = time.monotonic()
            host.terminate()
            if signals == 2:
                wait_until(lambda: "worker.draining" in fleet.logs(), what="the drain")
                host.send_signal(signal.SIGTERM)

            assert wait_for_end_of(host) == 0
            assert time.monotonic() - terminated_at < 8

    row = reload(work)
    assert row is not None
    assert (row.lease_owner, row.attempt, row.handback_count, row.is_suspect) == (None, 1, 1, False)
    assert "worker.row_is_locked" in fleet.logs()


def test_a_drain_is_told_when_the_row_is_free_again(fleet: Fleet):
    fleet.env["ORDINAUT_GRACE"] = "20"
    fleet.env |= {"ORDINAUT_ABORT_AFTER": "10", "ORDINAUT_REAP_AFTER": "15"}
    work = fleet.held_run()
    with fleet.host() as host:
        [began] = wait_until(lambda: fleet.seen("began"))
        worker = Worker.objects.get(pid=began["pid"])
        with locked(worker.pk) as other:
            host.terminate()
            wait_until(lambda: "worker.draining" in fleet.logs(), timeout=5, what="the drain")
            other.commit()
            wait_until(lambda: Worker.objects.get().state == "draining", timeout=5)
        fleet.release()

        assert wait_for_end_of(host) == 0
    assert run_of(work).state == "succeeded"
    assert Worker.objects.get().state == "stopped"
    assert StepRun.objects.get(path="held").state == "succeeded"
