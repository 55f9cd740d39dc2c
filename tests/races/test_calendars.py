"""Calendars that are changed or deleted while schedules that name them are being written, by a second connection."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.audit.operations import Actor
from scheduling.calendars.operations import CalendarInUse, delete_calendar, update_calendar
from scheduling.clock import firing
from scheduling.clock.due import read_due
from scheduling.clock.firing import plan_schedule
from scheduling.clock.planned import Planned
from scheduling.errors import NotValid
from scheduling.instants import database_now
from scheduling.models import Calendar, Run, Schedule, Task
from scheduling.schedules.operations import add_schedule, update_schedule
from scheduling.wakeup import SCHEDULES_CHANNEL
from tests.factories import CalendarFactory, ScheduleFactory, TaskFactory
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
DAILY = {"kind": "cron", "expression": "0 9 * * *", "calendars": ["holidays"]}


@pytest.fixture
def calendar() -> Calendar:
    return CalendarFactory(key="holidays", dates=[])


@pytest.fixture
def task(calendar: Calendar) -> Task:
    return TaskFactory(agent=calendar.agent)


@contextmanager
def meanwhile(call: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run `call` in a second connection once the block's own transaction holds its locks; it has ended afterwards.

    Yields the list that will hold what it returned or raised.
    """
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(call())
        except (CalendarInUse, NotValid) as error:
            outcome.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    with transaction.atomic():
        yield outcome
        thread.start()
        wait_until(_somebody_waits_for_us, what="the second connection to wait")
    thread.join(20)
    assert not thread.is_alive()


def _somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0] > 0)


def coming(days: int) -> list[str]:
    return [(database_now().date() + timedelta(days=at)).isoformat() for at in range(days)]


def test_a_calendar_is_not_deleted_under_a_schedule_that_is_just_being_added(calendar, task):
    with meanwhile(lambda: delete_calendar(actor=ACTOR, calendar=calendar)) as outcome:
        add_schedule(actor=ACTOR, task=task, definition=DAILY)

    assert isinstance(outcome[0], CalendarInUse)
    assert Calendar.objects.exists()


def test_a_schedule_does_not_name_a_calendar_that_is_just_being_deleted(calendar, task):
    with meanwhile(lambda: add_schedule(actor=ACTOR, task=task, definition=DAILY)) as outcome:
        delete_calendar(actor=ACTOR, calendar=calendar)

    assert isinstance(outcome[0], NotValid)
    assert not Schedule.objects.exists()


def test_a_change_reaches_a_schedule_that_is_just_being_added(calendar, task):
    with meanwhile(lambda: update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": coming(4)})):
        schedule = add_schedule(actor=ACTOR, task=task, definition=DAILY)

    moved = Schedule.objects.get(pk=schedule.pk)
    assert moved.next_fire_at.date() == database_now().date() + timedelta(days=4)


def test_a_change_and_an_edit_of_the_schedule_wait_for_each_other_and_both_hold(calendar, task):
    schedule = add_schedule(actor=ACTOR, task=task, definition=DAILY)

    with meanwhile(lambda: update_schedule(actor=ACTOR, schedule=schedule, changes={"expression": "0 15 * * *"})):
        update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": coming(4)})

    edited = Schedule.objects.get(pk=schedule.pk)
    assert (edited.next_fire_at.date(), edited.next_fire_at.hour) == (database_now().date() + timedelta(days=4), 15)


def test_a_plan_from_before_a_change_is_void(calendar, task):
    """The mark is due and stays where it is, but the version tells that the days are others."""
    due_day = database_now() - timedelta(seconds=5)
    ScheduleFactory(task=task, calendars=[calendar.pk], next_fire_at=due_day)
    planned = [Planned(due, plan_schedule(due)) for due in read_due(now=None, batch=10)]

    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": coming(2)})
    result = firing.fire(planned)

    assert (result.runs, result.lost) == (0, 1)
    assert not Run.objects.exists()


def test_a_change_wakes_the_clocks(calendar, task):
    add_schedule(actor=ACTOR, task=task, definition=DAILY)
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {SCHEDULES_CHANNEL}")

    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": coming(2)})

    heard = list(connection.connection.notifies(timeout=5, stop_after=1))
    with connection.cursor() as cursor:
        cursor.execute(f"UNLISTEN {SCHEDULES_CHANNEL}")
    assert [each.channel for each in heard] == [SCHEDULES_CHANNEL]
