"""A running clock and what is written beside it: new and edited schedules are effective within a second."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduling.audit.operations import Actor
from scheduling.models import Run, Schedule, Task
from scheduling.schedules.operations import add_schedule, update_schedule
from tests.factories import ScheduleFactory, TaskFactory
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
# What a schedule that is due at once may take to become a run: the second of the promise.
SECOND = 1.0


@pytest.fixture
def idle_clock(process_env: dict[str, str], tmp_path: Path) -> Iterator[None]:
    """A clock that has nothing to do until tomorrow and has fired once, so that it is known to be up."""
    now = datetime.now(UTC)
    first = ScheduleFactory(kind="once", expression=now.isoformat(), next_fire_at=now)
    ScheduleFactory(next_fire_at=datetime.now(UTC) + timedelta(days=1))
    with manage("runscheduler", "--no-housekeeping", env=process_env, log=tmp_path / "clock.log"):
        wait_until(lambda: Run.objects.filter(schedule=first).exists(), what="the clock to be up")
        yield


def soon() -> str:
    return (datetime.now(UTC) + timedelta(milliseconds=200)).isoformat(timespec="milliseconds")


def lateness_of(task: Task) -> float:
    """Seconds from the occurrence to its run, as the database saw them."""
    run = wait_until(lambda: Run.objects.filter(task=task).first(), what="the run")
    assert run.scheduled_for is not None
    return (run.created_at - run.scheduled_for).total_seconds()


def test_a_new_schedule_fires_within_a_second_of_its_instant(idle_clock: None) -> None:
    task = TaskFactory()

    add_schedule(actor=ACTOR, task=task, definition={"kind": "once", "expression": soon()})

    assert lateness_of(task) < SECOND


def test_an_edit_is_effective_within_a_second(idle_clock: None) -> None:
    schedule = ScheduleFactory(next_fire_at=datetime.now(UTC) + timedelta(days=1))

    update_schedule(actor=ACTOR, schedule=schedule, changes={"kind": "once", "expression": soon()})

    assert lateness_of(schedule.task) < SECOND


def test_a_schedule_that_is_written_behind_the_clocks_back_is_seen_by_the_backstop(idle_clock: None) -> None:
    task = TaskFactory()
    now = datetime.now(UTC)
    began = time.monotonic()

    Schedule.objects.bulk_create(
        [ScheduleFactory.build(task=task, kind="once", expression=now.isoformat(), next_fire_at=now)]
    )
    lateness_of(task)

    assert time.monotonic() - began < 2 * SECOND
