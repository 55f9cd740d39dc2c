"""A snooze is over and no clock has come to it, and an event is published beside whoever pauses or resumes."""

from datetime import timedelta

import pytest
from django.db import transaction

from scheduling.audit.models import AuditEntry
from scheduling.clock.firing import run_pass
from scheduling.clock.jobs import end_snoozes
from scheduling.instants import database_moment, database_now
from scheduling.models import Miss, Run, Schedule, Task
from scheduling.schedules.operations import pause_schedule, update_schedule
from scheduling.tasks.operations import pause_task
from tests.db.triggers.conftest import ACTOR, listen
from tests.factories import ScheduleFactory, TaskFactory
from tests.races.test_triggers import beside, somebody_waits_for_us, tell
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("is_of_task", [False, True], ids=["schedule", "task"])
@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_of_a_snooze_that_is_over_and_a_new_pause_the_pause_counts_for_an_event_that_waits(
    is_of_task: bool, overlap: str
) -> None:
    schedule = listen(task=TaskFactory(overlap=overlap))

    def stop() -> None:
        if is_of_task:
            pause_task(actor=ACTOR, task=schedule.task)
        else:
            pause_schedule(actor=ACTOR, schedule=schedule)

    stop()
    over = database_now() - timedelta(minutes=1)
    Schedule.objects.filter(state="paused").update(paused_until=over)
    Task.objects.filter(state="paused").update(paused_until=over)

    with transaction.atomic():
        stop()
        publisher = beside(tell)
        wait_until(somebody_waits_for_us, what="the publisher to wait for the schedule")

    assert publisher.result(20) == []
    assert not Run.objects.exists()


def test_the_clock_and_a_publisher_end_a_snooze_once() -> None:
    schedule = listen()
    pause_schedule(actor=ACTOR, schedule=schedule)
    Schedule.objects.update(paused_until=database_now() - timedelta(minutes=1))

    with transaction.atomic():
        assert end_snoozes() == 1
        publisher = beside(tell)
        wait_until(somebody_waits_for_us, what="the publisher to wait for the schedule")

    assert len(publisher.result(20)) == 1
    assert AuditEntry.objects.filter(action="schedule.resume").count() == 1


def test_both_snoozes_end_while_an_edit_waits_for_the_schedule() -> None:
    """The task's first: it was not over when its row was locked, and the schedule's own is when that one is."""
    now = database_now()
    of_task = now + timedelta(seconds=1)
    own = of_task + timedelta(seconds=1.5)
    task = TaskFactory(state="paused", paused_at=now, paused_until=of_task)
    schedule = ScheduleFactory(
        task=task,
        kind="interval",
        expression="PT1S",
        next_fire_at=now.replace(microsecond=0) + timedelta(seconds=1),
        state="paused",
        paused_until=own,
        held_at=now,
    )

    with transaction.atomic():
        Schedule.objects.select_for_update(no_key=True).get(pk=schedule.pk)
        edit = beside(lambda: update_schedule(actor=ACTOR, schedule=schedule, changes={"jitter": "PT0.1S"}))
        wait_until(somebody_waits_for_us, what="the edit to wait for the schedule")
        wait_until(lambda: database_moment() > own, what="the end of both snoozes")
    edit.result(20)
    end_snoozes()
    run_pass()

    assert not Run.objects.filter(scheduled_for__lt=own).exists()
    assert Miss.objects.get(reason="paused").last_at >= own - timedelta(seconds=1)
