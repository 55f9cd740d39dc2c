"""Processes that have served long enough are replaced, and nothing is lost or charged by it."""

import os
import signal
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from scheduling.audit.operations import Actor
from scheduling.models import DueWork, Run
from scheduling.runs.operations import cancel_run
from tests.counterparts import free_port
from tests.crash.workers.conftest import Fleet, freeze, thaw, wait_for_end_of, worker_pids
from tests.effort import in_torture_also
from tests.invariants import broken_invariants
from tests.process_trees import is_alive
from tests.waiting import wait_until
from tests.workers_support import due_work, reload, run_of
from workers.models import StepRun, Worker
from workers.operations import drain_worker

pytestmark = pytest.mark.django_db(transaction=True)


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return answer.read().decode()


def figure(port, name):
    return sum(float(line.rpartition(" ")[2]) for line in scrape(port).splitlines() if line.startswith(name))


def test_a_process_is_replaced_after_so_many_runs_and_every_run_is_done_once(fleet: Fleet):
    works = [due_work({"version": 1, "steps": [{"id": "note", "uses": "test.note"}]}) for _ in range(40)]
    port = free_port()
    with fleet.host(max_runs=5, concurrency=2, probe_port=port):
        wait_until(lambda: not DueWork.objects.exists(), timeout=40, what="the end of every run")
        wait_until(lambda: Worker.objects.filter(state="stopped").exists(), what="a replaced process")
        wait_until(lambda: figure(port, 'ordinaut_worker_recycled_total{reason="runs"}') >= 1, what="the metric")
        assert figure(port, 'ordinaut_runs_settled_total{outcome="succeeded",simulated="false"}') == 40

    assert {run_of(work).state for work in works} == {"succeeded"}
    assert {run_of(work).attempt for work in works} == {1}
    assert len(fleet.seen("note")) == 40
    replaced = Worker.objects.filter(state_reason__startswith="replaced").first()
    assert replaced is not None
    assert replaced.state_reason.startswith("replaced after ")
    assert not Worker.objects.filter(state="lost").exists()
    assert broken_invariants() == {}


def test_the_follower_works_before_the_old_process_drains_and_what_is_left_is_handed_to_it(fleet: Fleet):
    fleet.env |= {"ORDINAUT_GRACE": "2", "ORDINAUT_WORN_GRACE": "1"}
    held = fleet.held_run()
    with fleet.host(max_runs=1, concurrency=2):
        [began] = wait_until(lambda: fleet.seen("began"), what="the held step")
        due_work({"version": 1, "steps": [{"id": "first", "uses": "test.note"}]})
        wait_until(lambda: Worker.objects.filter(state="draining").exists(), what="the drain")
        [follower] = Worker.objects.filter(state="running")

        assert began["pid"] != follower.pid
        wait_until(lambda: len(fleet.seen("began")) == 2, timeout=10, what="the second try")
        fleet.release()
        wait_until(lambda: run_of(held).state == "succeeded")

    assert run_of(held).attempt == 1
    assert [step.state for step in StepRun.objects.filter(path="held").order_by("attempt")] == [
        "interrupted",
        "succeeded",
    ]
    assert len(fleet.seen("note", "before")) == 1
    assert broken_invariants() == {}


def short_run(fleet: Fleet) -> None:
    """One more that has ended, and wears out whoever has run it."""
    before = len(fleet.seen("note", "short"))
    due_work({"version": 1, "steps": [{"id": "short", "uses": "test.note"}]})
    wait_until(lambda: len(fleet.seen("note", "short")) > before, what="the short run")


def is_draining(pid: int) -> bool:
    return Worker.objects.get(pid=pid).state == "draining"


def test_a_step_that_is_longer_than_the_grace_ends_in_its_worn_process_which_alone_lingers(fleet: Fleet):
    """However many short runs wear out those that follow: they wait for its end before they are replaced."""
    held = fleet.held_run()
    with fleet.host(max_runs=1, concurrency=2):
        [began] = wait_until(lambda: fleet.seen("began"), what="the held step")
        short_run(fleet)
        wait_until(lambda: is_draining(began["pid"]), what="the drain")
        over_at, most = time.monotonic() + 8, 0  # eight times the grace
        while time.monotonic() < over_at:
            short_run(fleet)
            most = max(most, len(worker_pids()))
        assert is_draining(began["pid"])
        fleet.release()
        wait_until(lambda: began["pid"] not in worker_pids(), what="the end of the worn process")
        wait_until(lambda: Worker.objects.filter(state="stopped").count() >= 2, what="the follower's turn")

    assert most == 2
    assert (run_of(held).state, run_of(held).attempt) == ("succeeded", 1)
    assert (len(fleet.seen("began")), len(fleet.seen("ended"))) == (1, 1)
    assert Worker.objects.get(pid=began["pid"]).state_reason.startswith("replaced after ")
    assert broken_invariants() == {}


def test_each_process_may_linger_beside_its_follower(fleet: Fleet):
    held = [fleet.held_run()]
    with fleet.host(max_runs=1, processes=2, concurrency=2):
        [began] = wait_until(lambda: fleet.seen("began"), what="the first held step")
        wait_until(lambda: len(worker_pids()) == 2, what="both processes")
        freeze([began["pid"]])  # so that the other one takes the next
        held.append(fleet.held_run())
        wait_until(lambda: len(fleet.seen("began")) == 2, what="the second held step")
        thaw([began["pid"]])
        old = {line["pid"] for line in fleet.seen("began")}
        over_at = time.monotonic() + 20
        while not all(is_draining(pid) for pid in old):
            assert time.monotonic() < over_at
            short_run(fleet)
        wait_until(lambda: Worker.objects.filter(state="running").count() == 2, what="both followers")
        fleet.release()
        wait_until(lambda: old.isdisjoint(worker_pids()), what="the end of both")

    assert {run_of(work).state for work in held} == {"succeeded"}
    assert len(fleet.seen("began")) == 2
    assert broken_invariants() == {}


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_a_process_that_lingers_has_the_grace_where_somebody_drains_it_or_its_host_stops(
    fleet: Fleet, is_asked_for: bool
):
    held = fleet.held_run()
    with fleet.host(max_runs=1, concurrency=2) as host:
        [began] = wait_until(lambda: fleet.seen("began"), what="the held step")
        short_run(fleet)
        wait_until(lambda: is_draining(began["pid"]), what="the drain")
        worker = Worker.objects.get(pid=began["pid"])
        if is_asked_for:
            drain_worker(actor=Actor.system("tests"), worker=worker, reason="now")
            wait_until(lambda: len(fleet.seen("began")) == 2, timeout=10, what="the second try")
            fleet.release()
            wait_until(lambda: run_of(held).state == "succeeded")
        else:
            host.terminate()
            assert wait_for_end_of(host, within=10) == 0
            assert (reload(held).lease_owner, run_of(held).state) == (None, "queued")

    assert run_of(held).attempt == 1
    worker.refresh_from_db()
    assert worker.state == "stopped"
    assert worker.state_reason == ("asked to drain by system:tests: now" if is_asked_for else "replaced after 1 runs")
    assert not fleet.processes()
    assert broken_invariants() == {}


def test_a_process_that_lingers_and_is_killed_is_not_started_again_and_its_run_goes_on(fleet: Fleet):
    held = fleet.held_run()
    with fleet.host(max_runs=1, concurrency=2):
        [began] = wait_until(lambda: fleet.seen("began"), what="the held step")
        short_run(fleet)
        wait_until(lambda: is_draining(began["pid"]), what="the drain")
        os.kill(began["pid"], signal.SIGKILL)
        wait_until(lambda: len(fleet.seen("began")) == 2, what="the second try")
        assert len(worker_pids()) == 1
        fleet.release()
        wait_until(lambda: run_of(held).state == "succeeded")

    assert broken_invariants() == {}


def test_a_process_that_grows_past_its_memory_is_replaced(fleet: Fleet):
    port = free_port()
    with fleet.host(max_memory=300, probe_port=port):
        [pid] = wait_until(worker_pids, what="the first process")
        wait_until(lambda: figure(port, "ordinaut_worker_memory_bytes") > 0, what="the first measure")
        work = due_work({"version": 1, "steps": [{"id": "grow", "uses": "test.grow", "with": {"mebibytes": 400}}]})
        wait_until(lambda: run_of(work).state == "succeeded")
        wait_until(lambda: pid not in worker_pids(), what="the end of the large process")
        wait_until(lambda: figure(port, 'ordinaut_worker_recycled_total{reason="memory"}') == 1, what="the metric")

    assert Worker.objects.get(pid=pid).state_reason == "replaced above 300 MiB"
    assert {run.attempt for run in Run.objects.all()} == {1}


@pytest.mark.parametrize("is_canceled", in_torture_also([True], [False]))
def test_a_process_whose_trusted_tool_does_not_return_is_replaced(fleet: Fleet, is_canceled: bool):
    fleet.env["ORDINAUT_GRACE"] = "1"
    held = {"id": "held", "uses": "test.hold_trusted", "with": {"until": fleet.signal_file}, "timeout": "PT1S"}
    work = due_work({"version": 1, "steps": [held]})
    with fleet.host(concurrency=2):
        [began] = wait_until(lambda: fleet.seen("began"), what="the held step")
        if is_canceled:
            cancel_run(actor=Actor.system("tests"), run=run_of(work))
            wait_until(lambda: run_of(work).state == "canceled", what="the cancellation")
        wait_until(lambda: began["pid"] not in worker_pids(), timeout=30, what="the end of its process")
        fleet.release()
        wait_until(lambda: run_of(work).state == ("canceled" if is_canceled else "succeeded"))

    worker = Worker.objects.get(pid=began["pid"])
    assert worker.state == "stopped"
    assert worker.state_reason == "replaced, trusted tools do not return: test.hold_trusted"
    assert run_of(work).attempt == 1
    assert broken_invariants() == {}


@pytest.mark.parametrize("is_canceled", [True, False])
def test_a_process_whose_tool_holds_on_to_its_cancellation_is_replaced_and_other_runs_go_on(
    fleet: Fleet, is_canceled: bool
):
    fleet.env["ORDINAUT_GRACE"] = "20"
    other = fleet.held_run()
    timeout = {} if is_canceled else {"timeout": "PT1S"}
    work = due_work({"version": 1, "steps": [{"id": "clings", "uses": "test.cling", **timeout}]})
    port = free_port()
    with fleet.host(concurrency=2, probe_port=port):
        wait_until(lambda: fleet.seen("began") and fleet.seen("clings"), what="both steps")
        [pid] = worker_pids()
        if is_canceled:
            cancel_run(actor=Actor.system("tests"), run=run_of(work))
        wait_until(lambda: reload(work) is None, timeout=6, what="the end of the run")
        wait_until(lambda: Worker.objects.get(pid=pid).state == "draining", what="the drain")
        wait_until(lambda: Worker.objects.filter(state="running").exists(), what="the follower")
        fleet.release()
        wait_until(lambda: pid not in worker_pids(), what="the end of its process")
        wait_until(
            lambda: figure(port, 'ordinaut_worker_recycled_total{reason="abandoned_tool"}') == 1, what="the metric"
        )

    ended = run_of(work)
    assert (ended.state, ended.error["code"]) == (("canceled", "canceled") if is_canceled else ("failed", "timeout"))
    assert (run_of(other).state, len(fleet.seen("began"))) == ("succeeded", 1)
    worker = Worker.objects.get(pid=pid)
    assert (worker.state, worker.state_reason) == (
        "stopped",
        "replaced, tools go on after they were canceled: test.cling",
    )
    words = f"the tool test.cling went on after it was canceled: step clings of run {work.pk}"
    assert worker.last_error == words
    assert "run.cancellation_swallowed" not in fleet.logs()
    assert broken_invariants() == {}


def test_a_limit_below_what_a_process_needs_to_start_is_told_and_replaces_nothing(fleet: Fleet):
    with fleet.host(max_memory=1):
        wait_until(lambda: "worker.memory_limit_is_too_low" in fleet.logs(), what="the warning")
        work = due_work()
        wait_until(lambda: run_of(work).state == "succeeded")

    assert Worker.objects.count() == 1


def test_a_host_that_is_stopped_in_the_middle_of_a_replacement_stops_in_order(fleet: Fleet):
    fleet.env["ORDINAUT_GRACE"] = "10"
    held = fleet.held_run()
    with fleet.host(max_runs=1, concurrency=2) as host:
        wait_until(lambda: fleet.seen("began"), what="the held step")
        due_work({"version": 1, "steps": [{"id": "first", "uses": "test.note"}]})
        wait_until(lambda: Worker.objects.filter(state="draining").exists(), what="the drain")
        host.terminate()
        fleet.release()

        assert wait_for_end_of(host) == 0

    assert run_of(held).state == "succeeded"
    assert set(Worker.objects.values_list("state", flat=True)) == {"stopped"}
    assert not fleet.processes()


def test_a_worn_process_that_is_killed_before_its_follower_works_is_not_started_again(fleet: Fleet):
    with fleet.host(max_runs=1, concurrency=2) as host:
        [old] = wait_until(worker_pids, what="the first process")
        due_work({"version": 1, "steps": [{"id": "first", "uses": "test.note"}]})
        wait_until(lambda: "worker.is_replaced" in fleet.logs(), what="the follower's start")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: worker_pids() and old not in worker_pids(), what="the follower")
        work = due_work({"version": 1, "steps": [{"id": "second", "uses": "test.note"}]})
        wait_until(lambda: run_of(work).state == "succeeded")
        assert host.poll() is None

    assert "Traceback" not in fleet.logs()
    assert broken_invariants() == {}


def test_a_worn_process_that_somebody_drains_has_no_follower(fleet: Fleet):
    fleet.env["ORDINAUT_GRACE"] = "10"
    fleet.held_run()
    with fleet.host(max_runs=1, concurrency=2) as host:
        wait_until(lambda: fleet.seen("began"), what="the held step")
        [worker] = Worker.objects.live()
        drain_worker(actor=Actor.system("tests"), worker=worker)
        wait_until(lambda: Worker.objects.filter(state="draining").exists(), what="the drain")
        fleet.release()  # its run makes it worn while it drains
        wait_until(lambda: not worker_pids(), what="the end of the process")
        time.sleep(2)

        assert host.poll() is None
        assert not worker_pids()

    drained = Worker.objects.get(pk=worker.pk)
    assert (drained.state, drained.state_reason) == ("stopped", "asked to drain by system:tests")
    assert Worker.objects.count() == 1


def _others_than(pid: int, found: set[int]) -> set[int]:
    """Those that carry out something else than the process that has started them."""
    return {each for each in found if _command(each) not in (b"", _command(pid))}


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_the_follower_of_a_process_that_is_drained_meanwhile_is_stopped(fleet: Fleet):
    with fleet.host(max_runs=1, concurrency=2) as host:
        [old] = wait_until(worker_pids, what="the first process")
        [worker] = Worker.objects.live()
        before = set(fleet.processes())
        due_work({"version": 1, "steps": [{"id": "first", "uses": "test.note"}]})
        # Not between fork and exec: whoever starts a process waits for that, and would stand still with it.
        followers = wait_until(lambda: _others_than(host.pid, set(fleet.processes()) - before), what="the follower")
        freeze(list(followers))  # before it is ready to follow
        drain_worker(actor=Actor.system("tests"), worker=worker)
        wait_until(lambda: not is_alive(old), what="the end of the old process")
        thaw(list(followers))
        wait_until(lambda: not any(is_alive(pid) for pid in followers), what="the end of the follower")

        assert host.poll() is None
        assert not worker_pids()

    assert "Traceback" not in fleet.logs()
