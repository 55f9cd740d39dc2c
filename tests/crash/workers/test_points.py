"""A worker host that dies, or stands still, between any two statements: another finishes its run, once."""

import signal

import pytest

from scheduling.audit.operations import Actor
from scheduling.models import DueWork, Run
from scheduling.queues.models import RateBucket
from scheduling.queues.operations import update_queue
from tests.crash.clocks_support import state_of
from tests.crash.workers.conftest import Fleet, freeze, thaw
from tests.effort import in_torture_also
from tests.invariants import broken_invariants
from tests.process_trees import is_stopped
from tests.waiting import wait_until
from tests.workers_support import due_work, run_of
from workers.models import StepRun
from workers.points import POINTS_OF_PROCESS, POINTS_OF_SHARED_CLAIM

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = [{"id": name, "uses": "test.note"} for name in ("before", "after")]
KILLED_AT = ["after-claim"]
STOPPED_AT = ["before-journal"]


def others(points: list[str]) -> list[str]:
    return [point for point in POINTS_OF_PROCESS if point not in points]


KILLED_IN_SHARED_CLAIM = ["before-spend"]
STOPPED_IN_SHARED_CLAIM = ["bucket-locked"]


def others_of_shared_claim(points: list[str]) -> list[str]:
    return [point for point in POINTS_OF_SHARED_CLAIM if point not in points]


# Where an effect may be on its way: its call is repeated, or the late process makes it before it knows that it is late.
IN_A_CALL = ("before-call", "after-call", "before-journal", "after-journal", "before-settle")


def assert_done_once(fleet: Fleet, point: str) -> None:
    """Both effects happened; one of them twice at most, and then with one idempotency key."""
    seen = [line["step"] for line in fleet.seen("note")]
    assert set(seen) == {"before", "after"}
    assert len(seen) <= 2 + (point in IN_A_CALL)
    assert len({line["key"] for line in fleet.seen("note")}) == 2
    assert StepRun.objects.filter(state="succeeded").count() == 2
    assert broken_invariants() == {}


@pytest.mark.parametrize("point", in_torture_also(KILLED_AT, others(KILLED_AT)))
def test_killed_at_a_point_another_process_does_the_rest(fleet: Fleet, point: str) -> None:
    work = due_work({"version": 1, "steps": STEPS})
    env = dict(fleet.env)
    fleet.env["ORDINAUT_TEST_WORKER_POINT"] = f"kill:{point}"
    with fleet.host("dying") as dying:
        wait_until(lambda: "SIGKILL" in fleet.logs(), what="the death of a process")
        dying.kill()
        dying.wait()

    fleet.env.update(env, ORDINAUT_TEST_WORKER_POINT="")
    with fleet.host("other"):
        wait_until(lambda: run_of(work).state == "succeeded", what="the other to finish")

    assert_done_once(fleet, point)


@pytest.mark.parametrize("point", in_torture_also(STOPPED_AT, others(STOPPED_AT)))
def test_frozen_at_a_point_it_changes_nothing_when_it_wakes_up(fleet: Fleet, point: str) -> None:
    fleet.env["ORDINAUT_TEST_WORKER_POINT"] = f"stop:{point}"
    work = due_work({"version": 1, "steps": STEPS})
    with fleet.host("frozen") as host:
        [frozen] = wait_until(lambda: [pid for pid in fleet.processes() if is_stopped(pid)], what="it to stand still")
        freeze([host.pid])
        fleet.env["ORDINAUT_TEST_WORKER_POINT"] = ""
        with fleet.host("other"):
            wait_until(lambda: run_of(work).state == "succeeded", what="the other to finish")
            settled = Run.objects.filter(pk=work.pk).values().get()
            steps = list(StepRun.objects.order_by("pk").values())

            thaw([host.pid, frozen])
            wait_until(lambda: "worker.aborted" in fleet.logs(), what="the abort of the late process")

        assert state_of(host) != "T"
        host.send_signal(signal.SIGKILL)
        host.wait()
    assert Run.objects.filter(pk=work.pk).values().get() == settled
    assert list(StepRun.objects.order_by("pk").values()) == steps
    assert_done_once(fleet, point)


def with_a_rate() -> None:
    """The queue has a rate, so that every claim of it is a transaction of several statements."""
    update_queue(
        actor=Actor.system("tests"), name="default", changes={"rate": {"limit": 5, "period": "PT1S"}, "weight": 2}
    )


@pytest.mark.parametrize(
    "point", in_torture_also(KILLED_IN_SHARED_CLAIM, others_of_shared_claim(KILLED_IN_SHARED_CLAIM))
)
def test_killed_in_a_claim_with_a_rate_it_has_taken_neither_runs_nor_tokens(fleet: Fleet, point: str) -> None:
    with_a_rate()
    work = due_work({"version": 1, "steps": STEPS})
    env = dict(fleet.env)
    fleet.env["ORDINAUT_TEST_WORKER_POINT"] = f"kill:{point}"
    with fleet.host("dying") as dying:
        wait_until(lambda: "SIGKILL" in fleet.logs(), what="the death of a process")
        dying.kill()
        dying.wait()
    assert DueWork.objects.get(pk=work.pk).lease_owner is None
    assert RateBucket.objects.get().tokens == 5

    fleet.env.update(env, ORDINAUT_TEST_WORKER_POINT="")
    with fleet.host("other"):
        wait_until(lambda: run_of(work).state == "succeeded", what="the other to finish")

    assert len(fleet.seen("note")) == 2
    assert broken_invariants() == {}


@pytest.mark.parametrize(
    "point", in_torture_also(STOPPED_IN_SHARED_CLAIM, others_of_shared_claim(STOPPED_IN_SHARED_CLAIM))
)
def test_frozen_in_a_claim_with_a_rate_it_holds_up_nobody_for_long(fleet: Fleet, point: str) -> None:
    with_a_rate()
    fleet.env["ORDINAUT_TEST_WORKER_POINT"] = f"stop:{point}"
    work = due_work({"version": 1, "steps": STEPS})
    with fleet.host("frozen") as host:
        [frozen] = wait_until(lambda: [pid for pid in fleet.processes() if is_stopped(pid)], what="it to stand still")
        freeze([host.pid])
        fleet.env["ORDINAUT_TEST_WORKER_POINT"] = ""
        with fleet.host("other"):
            wait_until(lambda: run_of(work).state == "succeeded", what="the other to finish")
            spent = RateBucket.objects.get().tokens

            thaw([host.pid, frozen])
            wait_until(lambda: "worker.aborted" in fleet.logs(), what="the abort of the late process")
        host.send_signal(signal.SIGKILL)
        host.wait()
    assert len(fleet.seen("note")) == 2
    assert RateBucket.objects.get().tokens == spent == 4
    assert broken_invariants() == {}
