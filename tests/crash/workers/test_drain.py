"""SIGTERM: what fits in the grace is finished, the rest is handed back, nothing is lost."""

import signal

import pytest

from tests.crash.workers.conftest import Fleet, wait_for_end_of
from tests.invariants import broken_invariants
from tests.waiting import wait_until
from tests.workers_support import reload, run_of
from workers.models import StepRun, Worker

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_finishes_in_the_grace_is_finished(fleet: Fleet):
    fleet.env["ORDINAUT_GRACE"] = "15"
    work = fleet.held_run()
    with fleet.host() as host:
        wait_until(lambda: fleet.seen("began"))

        host.terminate()
        wait_until(lambda: Worker.objects.filter(state="draining").exists(), what="the drain")
        fleet.release()

        assert wait_for_end_of(host) == 0
    assert run_of(work).state == "succeeded"
    assert Worker.objects.get().state == "stopped"


def test_what_does_not_finish_is_handed_back_uncounted_and_done_by_another(fleet: Fleet):
    work = fleet.held_run()
    with fleet.host("first") as host:
        wait_until(lambda: fleet.seen("began"))
        host.terminate()
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


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
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
