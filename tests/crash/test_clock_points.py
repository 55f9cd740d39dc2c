"""A clock that dies, or stands still, at each line that matters: nothing is lost, and nothing is doubled."""

import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection

from scheduling.clock.points import POINTS, arm, reach
from scheduling.models import Run, Schedule
from tests.crash.clocks_support import (
    BATCH,
    all_fired,
    assert_nothing_lost_or_doubled,
    make_due,
    state_of,
    wait_until_all_fired,
)
from tests.effort import in_torture_also
from tests.factories import ScheduleFactory
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

COMMAND = ("runscheduler", "--no-housekeeping", "--batch", str(BATCH))
NAME = "zombie clock"
RECOVERS_WITHIN = 3.0  # seconds
# Those at which what a death leaves differs most; each of the others lies close to one of them.
OF_EVERY_RUN = {
    *("after-read", "after-lock", "after-admit", "before-commit", "before-commit-alone", "after-commit"),
    "before-sleep",
}


@pytest.mark.parametrize(
    "point",
    in_torture_also(
        [point for point in POINTS if point in OF_EVERY_RUN], [point for point in POINTS if point not in OF_EVERY_RUN]
    ),
)
def test_killed_at_a_point_of_its_pass_another_clock_does_the_rest(
    point: str, process_env: dict[str, str], tmp_path: Path
) -> None:
    expected = make_due(3 * BATCH)

    with manage(
        *COMMAND, env={**process_env, "ORDINAUT_TEST_CLOCK_POINT": f"kill:{point}"}, log=tmp_path / "a"
    ) as dying:
        assert dying.wait(30) == -signal.SIGKILL
    left = Schedule.objects.exclude(state="completed").count()
    with manage(*COMMAND, env=process_env, log=tmp_path / "b"):
        wait_until_all_fired()

    assert_nothing_lost_or_doubled(expected)
    if point in ("before-read", "after-read", "after-plan"):
        assert left == len(expected)


def test_what_a_killed_clock_held_is_fired_by_another_within_seconds(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    """The longest pause between two looks of the other is a second; the server lets go of the locks at once."""
    expected = make_due(BATCH)

    env = {**process_env, "ORDINAUT_TEST_CLOCK_POINT": "stop:before-commit"}
    with manage(*COMMAND, env=env, log=tmp_path / "a") as dying:
        wait_until(lambda: state_of(dying) == "T", what="the clock to stand in the middle of its pass")
        # Only now: at once with the first, it would fire what the first is to hold.
        with manage(*COMMAND, env=process_env, log=tmp_path / "b"):
            wait_until(lambda: b"clock.started" in (tmp_path / "b").read_bytes(), what="the other to start")
            dying.kill()
            died_at = time.monotonic()
            wait_until_all_fired()
            took = time.monotonic() - died_at

    assert took < RECOVERS_WITHIN
    assert_nothing_lost_or_doubled(expected)


@pytest.mark.parametrize("point", in_torture_also(["before-commit"], ["after-plan", "after-lock", "after-commit"]))
def test_a_clock_that_stood_still_past_all_time_outs_changes_nothing_when_it_wakes_up(
    point: str, process_env: dict[str, str], tmp_path: Path
) -> None:
    """A process that is stopped, or whose host sleeps, in the middle of a pass; meanwhile another clock works."""
    expected = make_due(2 * BATCH)
    env = {**process_env, "PGAPPNAME": NAME, "ORDINAUT_CLOCK_IDLE_TIMEOUT": "0.5"}

    with manage(*COMMAND, env={**env, "ORDINAUT_TEST_CLOCK_POINT": f"stop:{point}"}, log=tmp_path / "a") as zombie:
        wait_until(lambda: state_of(zombie) == "T", what="the clock to stand still")
        wait_until(lambda: not zombie_transactions(), what="the server to end its transaction")
        with manage(*COMMAND, env=process_env, log=tmp_path / "b"):
            wait_until_all_fired()
            before = set(Run.objects.values_list("pk", flat=True))
            zombie.send_signal(signal.SIGCONT)
            at = datetime.now(UTC)
            ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
            wait_until(all_fired, what="one of the two to fire the next")
        at = datetime.now(UTC)
        ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
        wait_until(all_fired, what="the one that woke up to fire alone")
        assert zombie.poll() is None

    assert before < set(Run.objects.values_list("pk", flat=True))
    assert Run.objects.count() == len(before) + 2
    assert_nothing_lost_or_doubled(expected)


def zombie_transactions() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND xact_start IS NOT NULL", [NAME]
        )
        return cursor.fetchone()[0]


def test_a_point_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="kill: or stop:"):
        arm("kill:somewhere")
    arm("")
    reach("before-read")
