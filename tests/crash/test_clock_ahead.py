"""A clock that dies, or stands still, with plans in hand for what is not due yet."""

import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduling.clock.points import POINTS_OF_AHEAD
from scheduling.models import Run, Schedule
from tests.crash.clocks_support import all_fired, assert_nothing_lost_or_doubled, state_of, wait_until_all_fired
from tests.factories import ScheduleFactory
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

COMMAND = ("runscheduler", "--no-housekeeping")
# A clock plans ahead for what is due within its next sleep, a second at most, and hears of it before.
SOON = timedelta(seconds=3)


def due_soon(log: Path) -> set[tuple[object, datetime]]:
    """Schedules that become due soon after the clock with this log is up."""
    wait_until(lambda: b"clock.started" in log.read_bytes(), timeout=30, what="the clock to start")
    at = datetime.now(UTC).replace(microsecond=0) + SOON
    schedules = [ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at) for _ in range(3)]
    return {(schedule.pk, at) for schedule in schedules}


@pytest.mark.parametrize("point", POINTS_OF_AHEAD)
def test_killed_with_plans_in_hand_another_clock_fires_them(
    point: str, process_env: dict[str, str], tmp_path: Path
) -> None:
    with manage(*COMMAND, env={**process_env, "ORDINAUT_TEST_CLOCK_POINT": f"kill:{point}"}, log=tmp_path / "a") as a:
        expected = due_soon(tmp_path / "a")
        assert a.wait(30) == -signal.SIGKILL
    assert Run.objects.count() == 0
    with manage(*COMMAND, env=process_env, log=tmp_path / "b"):
        wait_until_all_fired()

    assert_nothing_lost_or_doubled(expected)
    assert Run.objects.count() == len(expected)


def stand_still(frozen: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: state_of(frozen) == "T", timeout=30, what="the clock to stand still with its plans")


def test_plans_of_a_clock_that_stood_still_while_another_fired_are_void(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    env = {**process_env, "ORDINAUT_TEST_CLOCK_POINT": "stop:ahead-due"}

    with manage(*COMMAND, env=env, log=tmp_path / "a") as frozen:
        expected = due_soon(tmp_path / "a")
        stand_still(frozen)
        with manage(*COMMAND, env=process_env, log=tmp_path / "b"):
            wait_until_all_fired()
        frozen.send_signal(signal.SIGCONT)
        at = datetime.now(UTC)
        ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
        wait_until(all_fired, what="the one that woke up to go on")

    assert_nothing_lost_or_doubled(expected)
    assert Run.objects.count() == len(expected) + 1


def test_a_clock_that_slept_past_its_plans_asks_the_misfire_policy(process_env: dict[str, str], tmp_path: Path) -> None:
    env = {**process_env, "ORDINAUT_TEST_CLOCK_POINT": "stop:ahead-planned"}

    with manage(*COMMAND, env=env, log=tmp_path / "a") as frozen:
        (at,) = {at for _, at in due_soon(tmp_path / "a")}
        Schedule.objects.update(misfire_policy="skip", misfire_grace=timedelta(seconds=1))
        stand_still(frozen)
        wait_until(lambda: datetime.now(UTC) > at + timedelta(seconds=1.5), what="the occurrence to be past its grace")
        frozen.send_signal(signal.SIGCONT)
        wait_until_all_fired()

    assert Run.objects.count() == 0
    assert list(Schedule.objects.values_list("missed_count", flat=True)) == [1, 1, 1]
