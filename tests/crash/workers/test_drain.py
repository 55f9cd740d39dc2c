"""SIGTERM and SIGINT: what fits in the grace is finished, the rest is handed back, nothing is lost."""

import os
import signal
from collections.abc import Callable
from subprocess import Popen
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from scheduling.audit.operations import Actor
from scheduling.models import DueWork
from tests.crash.workers.conftest import Fleet, wait_for_end_of, worker_pids
from tests.effort import in_torture_also
from tests.invariants import broken_invariants
from tests.processes import end
from tests.waiting import wait_until
from tests.workers_support import due_work, reload, run_of
from workers.models import StepRun, Worker
from workers.operations import drain_worker
from workers.selectors import current_runs

Host = Popen[bytes]

pytestmark = pytest.mark.django_db(transaction=True)


def terminate(host: Host) -> None:
    """As a service manager does."""
    host.terminate()


def interrupt(host: Host) -> None:
    """As Ctrl-C does: the whole group of processes hears it."""
    os.killpg(host.pid, signal.SIGINT)


# A pair of signals in each of three tests: in an ordinary run by turns.
@pytest.mark.parametrize("stop", in_torture_also([terminate], [interrupt]))
def test_what_finishes_in_the_grace_is_finished(fleet: Fleet, stop: Callable[[Host], None]):
    fleet.env["ORDINAUT_GRACE"] = "15"
    work = fleet.held_run()
    with fleet.host() as host:
        wait_until(lambda: fleet.seen("began"))

        stop(host)
        wait_until(lambda: Worker.objects.filter(state="draining").exists(), what="the drain")
        fleet.release()

        assert wait_for_end_of(host) == 0
    assert run_of(work).state == "succeeded"
    assert Worker.objects.get().state == "stopped"


@pytest.mark.parametrize("stop", in_torture_also([interrupt], [terminate]))
def test_what_does_not_finish_is_handed_back_uncounted_and_done_by_another(fleet: Fleet, stop: Callable[[Host], None]):
    work = fleet.held_run()
    with fleet.host("first") as host:
        wait_until(lambda: fleet.seen("began"))
        stop(host)
        assert wait_for_end_of(host) == 0

    row = reload(work)
    assert (row.lease_owner, row.attempt, row.handback_count, row.is_suspect) == (None, 1, 1, False)
    assert StepRun.objects.get(path="held").state == "interrupted"

    fleet.release()
    with fleet.host("second"):
        wait_until(lambda: run_of(work).state == "succeeded")
    assert run_of(work).attempt == 1
    assert len(fleet.seen("note", "before")) == 1
    assert broken_invariants() == {}


@pytest.mark.parametrize("second", in_torture_also([signal.SIGTERM], [signal.SIGINT]))
def test_a_second_signal_puts_everything_back_at_once(fleet: Fleet, second):
    fleet.env["ORDINAUT_GRACE"] = "60"
    work = fleet.held_run()
    with fleet.host() as host:
        wait_until(lambda: fleet.seen("began"))
        host.terminate()
        wait_until(lambda: Worker.objects.filter(state="draining").exists(), what="the drain")

        host.send_signal(second)
        assert wait_for_end_of(host, within=10) == 0

    row = reload(work)
    assert (row.lease_owner, row.attempt) == (None, 1)
    assert not fleet.processes()


def told_by(worker: Worker) -> list[tuple[UUID, str | None]]:
    """The runs and their steps of which the last beat of `worker` tells."""
    return [(run.run_id, run.step) for run in current_runs([Worker.objects.get(pk=worker.pk)])[worker.pk]]


def test_a_drain_that_is_asked_for_through_the_row_ends_that_process_alone_and_for_good(fleet: Fleet):
    work = fleet.held_run()
    with fleet.host(processes=2) as host:
        [began] = wait_until(lambda: fleet.seen("began"))
        wait_until(lambda: len(worker_pids()) == 2)
        busy = Worker.objects.get(pid=began["pid"])
        # A beat between the claim and the first step tells of the run without its step: the next one knows more.
        wait_until(lambda: told_by(busy) == [(work.pk, "held")], what="a beat that tells of the run and its step")

        drain_worker(actor=Actor.system("tests"), worker=busy, reason="new kernel")
        wait_until(lambda: Worker.objects.get(pk=busy.pk).state == "stopped", what="the end of the drained process")
        wait_until(lambda: len(fleet.seen("began")) == 2, what="the second try")
        fleet.release()
        wait_until(lambda: run_of(work).state == "succeeded")
        still = worker_pids()

        assert host.poll() is None
        assert len(still) == 1
        assert fleet.seen("began")[1]["pid"] == still[0]
    drained = Worker.objects.get(pk=busy.pk)
    assert drained.state_reason == "asked to drain by system:tests: new kernel"
    assert (drained.running_count, drained.doing) == (0, None)
    assert Worker.objects.count() == 2
    assert broken_invariants() == {}


def test_a_host_whose_processes_are_all_drained_stays_and_ends_in_order(fleet: Fleet):
    with fleet.host(processes=2) as host:
        wait_until(lambda: len(worker_pids()) == 2)
        drain_worker(actor=Actor.system("tests"), worker=Worker.objects.earliest("pk"), whole_host=True)
        wait_until(lambda: not worker_pids(), what="the end of both")
        due_work()
        code = end(host)

    assert code == 0
    assert DueWork.objects.filter(lease_owner=None).count() == 1
    assert "worker.died" not in fleet.logs()


def fall(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def hang(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


@pytest.mark.parametrize("befall", [fall, hang])
def test_a_process_that_dies_before_it_has_heard_of_its_drain_is_not_followed(
    fleet: Fleet, befall: Callable[[int], None]
):
    with fleet.host(processes=2) as host:
        wait_until(lambda: len(worker_pids()) == 2)
        drained, other = Worker.objects.order_by("pk")
        befall(drained.pid)
        drain_worker(actor=Actor.system("tests"), worker=drained, reason="stuck")
        wait_until(lambda: Worker.objects.get(pk=drained.pk).state in ("lost", "stopped"), what="its end", timeout=15)
        due_work()
        wait_until(lambda: not DueWork.objects.exists(), what="that the other goes on")
        wait_until(lambda: "worker.drains_as_asked" in fleet.logs(), what="that the host heard of it")
        wait_until(lambda: worker_pids() == [other.pid], what="the end of whoever followed it")

        assert host.poll() is None
    row = Worker.objects.get(pk=drained.pk)
    assert row.state_reason.startswith("asked to drain by system:tests: stuck; ")
    assert not Worker.objects.exclude(pk__in=(drained.pk, other.pk)).exclude(state="stopped").exists()


def test_a_drain_of_a_host_reaches_a_process_that_was_just_starting(fleet: Fleet):
    with fleet.host(processes=2) as host:
        wait_until(lambda: len(worker_pids()) == 2)
        first, second = Worker.objects.order_by("pk")
        fall(first.pid)
        wait_until(lambda: Worker.objects.get(pk=first.pk).state == "lost", what="its end")
        drain_worker(actor=Actor.system("tests"), worker=second, whole_host=True)
        wait_until(lambda: Worker.objects.filter(state="stopped").count() == 2, what="the end of both", timeout=15)

        assert not worker_pids()
        assert host.poll() is None
    follower = Worker.objects.exclude(pk__in=(first.pk, second.pk)).get()
    assert (follower.state, follower.drain_requested_by) == ("stopped", "system:tests")


def test_a_host_ends_though_its_queue_s_table_is_locked(fleet: Fleet):
    """A migration holds it, say: the sweep of gates hung behind it, and the host with it, whatever signal came."""
    with fleet.host() as host:
        wait_until(lambda: Worker.objects.filter(state="running").exists(), what="the worker")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK scheduling_duework IN ACCESS EXCLUSIVE MODE")
            wait_until(lambda: _waits_for_us(cursor), what="the sweep that hangs")
            terminate(host)
            assert wait_for_end_of(host) == 0


def _waits_for_us(cursor: CursorWrapper) -> bool:
    # In a transaction the first look at who is connected stands for all others.
    cursor.execute("SELECT pg_stat_clear_snapshot()")
    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))")
    return bool(cursor.fetchone()[0])
