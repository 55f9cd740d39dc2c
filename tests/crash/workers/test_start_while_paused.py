"""A run that is started by hand goes through a real worker, whatever is paused."""

from datetime import UTC, datetime

import pytest

from scheduling.audit.operations import Actor
from scheduling.models import Run
from scheduling.runs.operations import start_run
from scheduling.runs.states import RunState
from scheduling.schedules.operations import pause_schedule
from scheduling.tasks.operations import pause_task
from tests.crash.workers.conftest import Fleet
from tests.effort import in_torture_also
from tests.factories import ScheduleFactory, TaskFactory
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("is_keyed", "overlap"),
    in_torture_also(
        [(True, "allow"), (False, "skip"), (True, "queue_all")],
        [(False, "allow"), (True, "skip"), (False, "queue_all")],
    ),
)
def test_a_run_by_hand_ends_while_task_and_schedule_are_paused(fleet: Fleet, overlap: str, is_keyed: bool) -> None:
    actor = Actor.system("tests")
    key = {"concurrency_key": "api", "concurrency_limit": 1} if is_keyed else {}
    task = TaskFactory(overlap=overlap, **key)
    schedule = ScheduleFactory(task=task, next_fire_at=datetime(2100, 1, 1, tzinfo=UTC))
    pause_schedule(actor=actor, schedule=schedule)
    pause_task(actor=actor, task=task, reason="holidays")

    run = start_run(actor=actor, task=task)
    with fleet.host():
        wait_until(lambda: Run.objects.get(pk=run.pk).state not in ("queued", "waiting"), what="the run to end")

    task.refresh_from_db()
    assert Run.objects.get(pk=run.pk).state == RunState.SUCCEEDED
    assert task.state == "paused"
