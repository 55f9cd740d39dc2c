"""What a tool leaves behind at its end: threads, asyncio tasks, child processes, open files."""

import os
import signal
from pathlib import Path

import pytest

from tests.crash.workers.conftest import Fleet, wait_for_end_of, worker_pids
from tests.effort import in_torture_also
from tests.leftovers import IN_A_PROCESS, ON_A_LOOP, still_there
from tests.waiting import wait_until
from tests.workers_support import due_work, reload, run_of
from workers.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def left(tmp_path: Path):
    folder = tmp_path / "left"
    yield folder
    for leftover in still_there(folder):
        leftover.end()


def leaving(folder: Path, *whats: str, tool: str = "test.leave"):
    """A run of the tool for each of these."""
    steps = [{"id": f"leave_{what}", "uses": tool, "with": {"what": what, "folder": str(folder)}} for what in whats]
    return due_work({"version": 1, "steps": steps})


def test_a_host_ends_in_order_and_soon_whatever_tools_have_left(fleet: Fleet, left: Path):
    work = leaving(left, *ON_A_LOOP)
    with fleet.host() as host:
        wait_until(lambda: run_of(work).state == "succeeded", what="the end of the run")
        assert [leftover.what for leftover in still_there(left)] == sorted(ON_A_LOOP)

        host.terminate()

        assert wait_for_end_of(host) == 0
    assert still_there(left) == []
    assert Worker.objects.get().state == "stopped"
    assert "worker.stuck" not in fleet.logs()  # what waits for a leftover has to be killed in the end


@pytest.mark.parametrize("number", in_torture_also([signal.SIGKILL], [signal.SIGTERM]))
def test_what_tools_have_left_ends_with_their_worker(fleet: Fleet, left: Path, number: signal.Signals):
    work = leaving(left, *ON_A_LOOP)
    with fleet.host():
        wait_until(lambda: run_of(work).state == "succeeded", what="the end of the run")
        (pid,) = worker_pids()

        os.kill(pid, number)

        wait_until(lambda: still_there(left) == [], what="the end of all that was left")
        wait_until(lambda: worker_pids() not in ([], [pid]), what="another worker")


@pytest.mark.parametrize("what", in_torture_also([["daemon"]], [[what] for what in IN_A_PROCESS if what != "daemon"]))
def test_what_an_isolated_tool_leaves_ends_with_the_worker_that_is_killed_meanwhile(
    fleet: Fleet, left: Path, what: list[str]
):
    work = leaving(left, *what, tool="test.leave_isolated")
    with fleet.host():
        wait_until(lambda: fleet.seen("left"), what="the leftover")
        (pid,) = worker_pids()
        first = {leftover.path for leftover in still_there(left)}
        assert first

        os.kill(pid, signal.SIGKILL)

        wait_until(lambda: first.isdisjoint(each.path for each in still_there(left)), what="the end of what was left")
    assert reload(work) is not None


def test_what_another_worker_has_at_work_outlives_the_death_of_one(fleet: Fleet, left: Path):
    works = [leaving(left, "daemon", tool="test.leave_isolated") for _ in range(2)]
    with fleet.host(processes=2, concurrency=1):
        wait_until(lambda: len({leftover.worker for leftover in still_there(left)}) == 2, what="a run in each")
        first, second = still_there(left)

        os.kill(first.worker, signal.SIGKILL)

        wait_until(lambda: first not in still_there(left), what="the end of what was left")
        assert second in still_there(left)
    assert all(reload(work) is not None for work in works)
