"""An edit that waits for a firing judges by what that firing has left, though its transaction is older."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from scheduling.audit.operations import Actor
from scheduling.calendars.operations import update_calendar
from scheduling.clock.firing import run_pass
from scheduling.instants import database_moment
from scheduling.models import Calendar, Miss, Run, Schedule, Task
from scheduling.schedules.operations import update_schedule
from scheduling.tasks.operations import resume_task
from tests.factories import CalendarFactory, ScheduleFactory, TaskFactory
from tests.races.test_policy_edits import beside
from tests.races.test_starts import somebody_waits_for_us
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
LATER = "2099-01-01"


def edited(schedule: Schedule) -> Any:
    return update_schedule(actor=ACTOR, schedule=schedule, changes={"exdates": [f"{LATER}T00:00:00"]})


def other_days(schedule: Schedule) -> Any:
    calendar = Calendar.objects.get(pk=schedule.calendars[0])
    return update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": [LATER]})


@pytest.mark.parametrize("edit", [edited, other_days])
@pytest.mark.parametrize("is_missed", [False, True], ids=["fired", "missed"])
def test_what_came_while_an_edit_waited_is_accounted_for_once(edit: Callable[[Schedule], Any], is_missed: bool) -> None:
    calendar = CalendarFactory(key="holidays", dates=[])
    began = datetime.now(UTC).replace(microsecond=0)
    schedule = ScheduleFactory(
        task=TaskFactory(agent=calendar.agent, overlap="queue_all"),
        kind="interval",
        expression="PT1S",
        starts_at=began.replace(tzinfo=None),
        next_fire_at=began + timedelta(seconds=1),
        calendars=[calendar.pk],
        misfire_policy="skip",
        misfire_grace=timedelta(0) if is_missed else timedelta(seconds=30),
    )
    results: list[Any] = []

    with transaction.atomic():
        Task.objects.select_for_update().get(pk=schedule.task_id)
        thread = beside(lambda: edit(schedule), results)
        wait_until(somebody_waits_for_us, what="the edit to wait")
        in_vain_since = database_moment()
        wait_until(lambda: database_moment() > in_vain_since + timedelta(seconds=1.2), what="an occurrence to come")
        run_pass(now=database_moment())
    thread.join(10)
    assert results, "the edit went through"
    until = database_moment()
    run_pass(now=until)

    fired = [at for (at,) in Run.objects.filter(schedule=schedule).values_list("scheduled_for")]
    missed = sum(Miss.objects.filter(schedule=schedule).values_list("count", flat=True))
    assert len(set(fired)) == len(fired)
    assert len(fired) + missed == (until - began) // timedelta(seconds=1)


def test_a_resumption_that_waits_replays_nothing() -> None:
    task = TaskFactory(state="paused", paused_at=datetime.now(UTC))
    now = datetime.now(UTC).replace(microsecond=0)
    schedule = ScheduleFactory(
        task=task, kind="interval", expression="PT1S", next_fire_at=now, starts_at=now.replace(tzinfo=None), held_at=now
    )
    with transaction.atomic():
        Task.objects.select_for_update().get(pk=task.pk)
        thread = beside(lambda: resume_task(actor=ACTOR, task=task), [])
        wait_until(somebody_waits_for_us, what="the resumption to wait")
        until = now + timedelta(seconds=3)
        wait_until(lambda: database_moment() > until, what="occurrences to come")
    thread.join(10)

    mark = Schedule.objects.get(pk=schedule.pk).next_fire_at
    assert mark is not None
    assert mark > until
