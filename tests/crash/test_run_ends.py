"""A clock that dies while it acts on the end of a run: what follows is started once, by whichever clock comes next."""

import signal
from pathlib import Path

import pytest

from scheduling.clock.points import POINTS_OF_ENDS
from scheduling.models import Event, Run, RunEnd, Schedule, Task
from scheduling.runs.operations import start_run
from scheduling.runs.states import RunState
from scheduling.tasks.models import TaskState
from tests.crash.clocks_support import state_of
from tests.db.triggers.conftest import ACTOR, end, follow
from tests.db.triggers.test_conditions import fired, tick
from tests.db.triggers.test_conditions import watch as watch_condition
from tests.factories import TaskFactory
from tests.invariants import broken_invariants
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

COMMAND = ("runscheduler", "--no-housekeeping")


def ends_of_every_kind() -> tuple[Task, Schedule, Schedule]:
    """Five failures of a task that is followed and pauses after five, and a check that has found its condition met."""
    failing = TaskFactory(pause_after_failures=5)
    follower = follow(failing, "failure")
    for _ in range(5):
        end(start_run(actor=ACTOR, task=failing), RunState.FAILED)
    condition = watch_condition()
    end(tick(condition), output={"met": True})
    assert RunEnd.objects.count() == 6
    return failing, follower, condition


def all_acted_on() -> bool:
    return not RunEnd.objects.exists()


def assert_acted_on_once(failing: Task, follower: Schedule, condition: Schedule) -> None:
    failing.refresh_from_db()
    follower.refresh_from_db()
    condition.refresh_from_db()
    assert Run.objects.filter(schedule=follower).count() == follower.fired_count == 5
    assert Event.objects.filter(topic="run.failed").count() == 5
    assert failing.state == TaskState.PAUSED
    assert (len(fired(condition)), condition.fired_count, condition.condition_met) == (1, 1, True)
    assert broken_invariants() == {}


@pytest.mark.parametrize("point", POINTS_OF_ENDS)
def test_killed_while_it_acts_on_an_end_another_clock_acts_on_it(
    point: str, process_env: dict[str, str], tmp_path: Path
) -> None:
    waiting = ends_of_every_kind()

    with manage(
        *COMMAND, env={**process_env, "ORDINAUT_TEST_CLOCK_POINT": f"kill:{point}"}, log=tmp_path / "a"
    ) as dying:
        assert dying.wait(30) == -signal.SIGKILL
    assert RunEnd.objects.count() == 6
    assert not Run.objects.filter(trigger_kind="after").exists()
    with manage(*COMMAND, env=process_env, log=tmp_path / "b"):
        wait_until(all_acted_on, what="every end to be acted on")

    assert_acted_on_once(*waiting)


def test_a_clock_that_stands_still_in_the_middle_of_an_end_does_not_act_on_it_again(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    waiting = ends_of_every_kind()
    env = {**process_env, "ORDINAUT_CLOCK_IDLE_TIMEOUT": "0.5"}

    with manage(*COMMAND, env={**env, "ORDINAUT_TEST_CLOCK_POINT": "stop:end-acted-on"}, log=tmp_path / "a") as zombie:
        wait_until(lambda: state_of(zombie) == "T", what="the clock to stand still")
        with manage(*COMMAND, env=process_env, log=tmp_path / "b"):
            wait_until(all_acted_on, what="the other to act on every end")
            zombie.send_signal(signal.SIGCONT)
            wait_until(lambda: b"clock.passes_again" in (tmp_path / "a").read_bytes(), what="the first to come back")
        assert zombie.poll() is None

    assert_acted_on_once(*waiting)
