"""Worker processes that die, freeze, block or lose their database: what is theirs is finished by others, once."""

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from scheduling.models import Run
from tests.crash.workers.conftest import TIMES, Fleet, freeze, thaw, worker_pids
from tests.effort import in_torture_also
from tests.invariants import broken_invariants
from tests.processes import end
from tests.waiting import wait_until
from tests.workers_support import due_work, reload, run_of
from workers.explain import explain, explainable
from workers.models import StepRun, Worker

pytestmark = pytest.mark.django_db(transaction=True)


def succeeded(work):
    return run_of(work).state == "succeeded"


# Its supervisor sees the death and hands the run over: before any reaper could, and where one is near as well.
@pytest.mark.parametrize("reap_after", in_torture_also(["600"], [TIMES["ORDINAUT_REAP_AFTER"]]))
def test_a_killed_process_is_replaced_and_its_run_goes_on_where_it_was(fleet: Fleet, reap_after: str):
    fleet.env["ORDINAUT_REAP_AFTER"] = reap_after
    work = fleet.held_run()
    with fleet.host(processes=2):
        [began] = wait_until(lambda: fleet.seen("began"), what="the held step")

        os.kill(began["pid"], signal.SIGKILL)
        wait_until(lambda: len(fleet.seen("began")) == 2, timeout=5, what="the second try")
        fleet.release()
        wait_until(lambda: succeeded(work))

    assert len(fleet.seen("note", "before")) == 1
    assert len({line["key"] for line in fleet.seen("began")}) == 1
    assert run_of(work).attempt == 1
    assert [entry.state for entry in StepRun.objects.filter(path="held").order_by("attempt")] == [
        "interrupted",
        "succeeded",
    ]
    assert broken_invariants() == {}


def test_a_run_that_waits_for_the_next_process_of_its_host_is_told_of_the_one_that_died(fleet: Fleet):
    poison = {"version": 1, "steps": [{"id": "kill", "uses": "test.kill", "with": {}}]}
    deadly, waiting = due_work(poison), due_work(poison, available_at=datetime.now(UTC) + timedelta(hours=1))

    def told_of() -> dict[str, Any] | None:
        reasons = {reason.code: reason for reason in explain(explainable(waiting.pk)).reasons}
        return reasons["no_worker"].facts["last_ended"] if "no_worker" in reasons else None

    with fleet.host(processes=1):
        told = wait_until(told_of, what="a death that is told")
        wait_until(lambda: run_of(deadly).cause == "quarantined", what="the end of the poisonous run")

    assert told["reason"].startswith("ended with SIGKILL")
    assert str(told["pid"]) in {str(line["pid"]) for line in fleet.seen("kills")}


def test_a_host_that_is_killed_leaves_no_process_and_another_takes_its_work(fleet: Fleet):
    work = fleet.held_run()
    with fleet.host("first") as first:
        wait_until(lambda: fleet.seen("began"))
        first.kill()
        first.wait()
        wait_until(lambda: not fleet.processes(), timeout=5, what="the end of every process")

    with fleet.host("second"):
        wait_until(lambda: len(fleet.seen("began")) == 2, what="the second try")
        fleet.release()
        wait_until(lambda: succeeded(work))

    assert Worker.objects.filter(state="lost").count() == 1
    assert broken_invariants() == {}


def test_a_frozen_host_that_wakes_late_settles_nothing(fleet: Fleet):
    work = fleet.held_run()
    with fleet.host("first") as first:
        wait_until(lambda: fleet.seen("began"))
        frozen = [first.pid, *worker_pids()]
        freeze(frozen)

        with fleet.host("second"):
            wait_until(lambda: len(fleet.seen("began")) == 2, what="the second try")
            fleet.release()
            wait_until(lambda: succeeded(work))
            settled = Run.objects.filter(pk=work.pk).values().get()
            steps = list(StepRun.objects.order_by("pk").values())

            thaw(frozen)
            wait_until(lambda: "worker.aborted" in fleet.logs(), what="the abort of the late process")

        assert Run.objects.filter(pk=work.pk).values().get() == settled
        assert list(StepRun.objects.order_by("pk").values()) == steps
    assert len(fleet.seen("note", "after")) == 1


def test_a_run_that_keeps_killing_its_workers_is_quarantined_and_innocents_are_not(fleet: Fleet):
    poison = due_work({"version": 1, "steps": [{"id": "kill", "uses": "test.kill"}]})
    innocents = [fleet.held_run() for _ in range(3)]
    with fleet.host(processes=2):
        wait_until(lambda: run_of(poison).state == "failed", timeout=40, what="the quarantine")
        fleet.release()
        wait_until(lambda: all(succeeded(work) for work in innocents), timeout=20)

    assert run_of(poison).cause == "quarantined"
    assert len(fleet.seen("kills")) == 4
    assert {run_of(work).attempt for work in innocents} == {1}
    assert broken_invariants() == {}


def test_a_process_whose_loop_is_blocked_is_killed_and_replaced(fleet: Fleet):
    steps = [{"id": "block", "uses": "test.block", "with": {"unless": fleet.signal_file}}]
    work = due_work({"version": 1, "steps": steps})
    with fleet.host():
        [blocks] = wait_until(lambda: fleet.seen("blocks"))
        wait_until(lambda: blocks["pid"] not in worker_pids(), what="the end of the blocked process")
        fleet.release()
        wait_until(lambda: succeeded(work))

    assert "worker.stuck" in fleet.logs()
    killed = Worker.objects.get(state="lost")
    assert killed.state_reason == "killed: its loop stood still for 3 s"
    assert killed.last_error.startswith(killed.state_reason)
    assert killed.last_error_at is not None


def test_a_database_that_cuts_every_connection_costs_nothing(fleet: Fleet):
    work = fleet.held_run()
    with fleet.host() as host:
        wait_until(lambda: fleet.seen("began"))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'ordinaut%'"
            )
        fleet.release()
        wait_until(lambda: succeeded(work))
        later = due_work()
        wait_until(lambda: succeeded(later))

        assert host.poll() is None
    assert Worker.objects.count() == 1
    assert len(fleet.seen("began")) == 1
    assert reload(work) is None


def test_an_ordinary_end_leaves_a_stopped_worker(fleet: Fleet):
    with fleet.host(processes=2) as host:
        wait_until(lambda: len(worker_pids()) == 2)
        code = end(host)

    assert code == 0
    assert set(Worker.objects.values_list("state", flat=True)) == {"stopped"}


def test_a_host_without_its_database_waits_in_peace(fleet: Fleet):
    fleet.env["DATABASE_URL"] = fleet.env["DATABASE_DIRECT_URL"] = fleet.env["DATABASE_URL"] + "_that_is_away"
    with fleet.host(processes=2) as host:
        wait_until(lambda: fleet.logs().count("worker.database_is_away") == 2, what="a line of each process")
        assert host.poll() is None

        code = end(host, grace=8)

    assert code == 0
    assert "Traceback" not in fleet.logs()
    assert fleet.logs().count("worker.database_is_away") == 2
