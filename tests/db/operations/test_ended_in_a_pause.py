"""A schedule that comes to its end while it and its task are both paused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduling.audit.operations import Actor
from scheduling.clock.accounting import Auditor
from scheduling.clock.jobs import end_snoozes
from scheduling.errors import IllegalTransition
from scheduling.models import Miss, Schedule
from scheduling.schedules.operations import delete_schedule, pause_schedule, resume_schedule, update_schedule
from scheduling.tasks.operations import pause_task, resume_task
from tests.factories import ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
HOUR = timedelta(hours=1)

Change = Callable[[Schedule], Any]


def by_an_end(schedule: Schedule) -> None:
    update_schedule(actor=ACTOR, schedule=schedule, changes={"ends_at": "2026-06-01T00:00:00Z"})


def by_a_maximum(schedule: Schedule) -> None:
    update_schedule(actor=ACTOR, schedule=schedule, changes={"max_occurrences": 1})


def by_until(schedule: Schedule) -> None:
    changes = {"kind": "rrule", "expression": "FREQ=HOURLY;UNTIL=20260601T000000Z"}
    update_schedule(actor=ACTOR, schedule=schedule, changes=changes)


ends = pytest.mark.parametrize("end", [by_an_end, by_a_maximum, by_until])


def ended(end: Change, **columns: Any) -> Schedule:
    """Hourly, an hour of it behind the pause of both; its end came afterwards, by an edit."""
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    task = TaskFactory(state="paused", paused_at=this_hour - HOUR)
    paused = {"state": "paused", "state_reason": "noise", "held_at": this_hour - HOUR}
    schedule = ScheduleFactory(
        task=task, expression="0 * * * *", next_fire_at=this_hour, fired_count=1, **paused, **columns
    )
    end(schedule)
    schedule.refresh_from_db()
    assert (schedule.state, schedule.next_fire_at) == ("paused", None)
    return schedule


def as_it_is(schedule: Schedule) -> tuple[str, Any, Any]:
    schedule.refresh_from_db()
    return schedule.state, schedule.next_fire_at, schedule.paused_until


def missed(schedule: Schedule) -> list[tuple[str, int]]:
    return list(Miss.objects.filter(schedule=schedule).values_list("reason", "count"))


@ends
def test_it_is_completed_when_it_is_resumed_and_its_task_may_resume_after_it(end: Change) -> None:
    schedule = ended(end)

    resume_schedule(actor=ACTOR, schedule=schedule)
    first = as_it_is(schedule)
    resume_task(actor=ACTOR, task=schedule.task)

    assert first == as_it_is(schedule) == ("completed", None, None)
    assert missed(schedule) == [("paused", 1)]
    assert Auditor().round() == 0


@ends
def test_it_is_completed_when_its_task_resumes_first(end: Change) -> None:
    schedule = ended(end)

    resume_task(actor=ACTOR, task=schedule.task)
    first = as_it_is(schedule)
    resume_schedule(actor=ACTOR, schedule=schedule)

    assert first == ("paused", None, None)
    assert as_it_is(schedule) == ("completed", None, None)


@ends
def test_the_clock_ends_its_snooze(end: Change) -> None:
    schedule = ended(end)
    Schedule.objects.filter(pk=schedule.pk).update(paused_until=datetime.now(UTC) - timedelta(minutes=1))

    assert end_snoozes() == 1
    assert as_it_is(schedule) == ("completed", None, None)
    assert end_snoozes() == 0


@ends
def test_it_is_edited_and_deleted_after_its_snooze(end: Change) -> None:
    schedule = ended(end)
    Schedule.objects.filter(pk=schedule.pk).update(paused_until=datetime.now(UTC) - timedelta(minutes=1))

    with pytest.raises(IllegalTransition):
        pause_schedule(actor=ACTOR, schedule=schedule)
    update_schedule(
        actor=ACTOR,
        schedule=schedule,
        changes={"kind": "cron", "expression": "30 * * * *", "max_occurrences": None, "ends_at": None},
    )

    assert as_it_is(schedule)[0] == "active"
    pause_task(actor=ACTOR, task=schedule.task)
    delete_schedule(actor=ACTOR, schedule=schedule)
    assert not Schedule.objects.exists()
