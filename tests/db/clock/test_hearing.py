"""Who listens for what the clock tells hears of it, though somebody is in the way or the clock dies in between."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from structlog.testing import capture_logs

from scheduling.clock import overdue
from scheduling.clock.hearing import let_hear, let_hear_again
from scheduling.clock.jobs import register_jobs
from scheduling.clock.overdue import tell_each_overdue
from scheduling.events.operations import hear, store
from scheduling.events.topics import OVERDUE
from scheduling.housekeeping import registered
from scheduling.models import Event, Run, Schedule
from tests.factories import ScheduleFactory
from tests.races.test_clock_contention import somebody_holds

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def hurried(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_LOCK_TIMEOUT = timedelta(milliseconds=200)


def listener(**task: Any) -> Schedule:
    schedule: Schedule = ScheduleFactory(kind="event", expression="schedule.*", next_fire_at=None, **task)
    return schedule


def told() -> Event:
    with transaction.atomic():
        return store(topic=OVERDUE, payload={"n": 1}, agent_id=None, depth=0, is_unheard=True)


def test_one_that_is_in_the_way_keeps_a_listener_from_hearing_only_for_so_long() -> None:
    schedule = listener(task__overlap="skip")
    event = told()

    with (
        somebody_holds("SELECT FROM scheduling_task WHERE id = %s FOR UPDATE", schedule.task_id),
        capture_logs() as log,
    ):
        assert let_hear([event]) == 0
        assert let_hear_again() == 0
    assert [entry["event"] for entry in log].count("schedule.not_heard") == 2
    assert Event.objects.get().is_unheard

    assert let_hear_again() == 1
    assert let_hear_again() == 0
    assert Run.objects.get().schedule_id == schedule.pk
    assert not Event.objects.get().is_unheard


def test_a_clock_that_dies_behind_the_event_is_no_matter() -> None:
    listener()
    told()

    assert let_hear_again() == 1
    assert Run.objects.count() == 1


def test_it_is_heard_once_whoever_comes_first() -> None:
    listener()
    event = told()
    let_hear([event])

    with transaction.atomic():
        assert hear(event) == []
    assert let_hear_again() == 0
    assert Run.objects.count() == 1


def test_what_others_publish_is_heard_with_its_publishing_and_never_again() -> None:
    listener()
    with transaction.atomic():
        store(topic="schedule.mine", payload={}, agent_id=None, depth=0)

    assert let_hear_again() == 0
    assert not Run.objects.exists()


def test_an_overdue_occurrence_is_heard_at_once() -> None:
    listener()
    due = datetime.now(UTC) - overdue.overdue_after() - timedelta(minutes=1)
    ScheduleFactory(next_fire_at=due)

    assert tell_each_overdue() == 1
    assert Run.objects.count() == 1
    assert not Event.objects.get().is_unheard


def test_the_job_is_registered() -> None:
    register_jobs()

    assert "scheduling.hearing" in [job.id for job in registered()]


def test_each_is_heard_in_a_transaction_of_its_own_and_none_is_starved_by_those_that_cannot_be() -> None:
    """Locks of the first listener were kept while the others were waited for."""
    held, free = listener(task__overlap="skip"), ScheduleFactory(kind="event", expression="zones.*", next_fire_at=None)
    blocked = [told() for _ in range(3)]
    with transaction.atomic():
        last = store(topic="zones.updated", payload={}, agent_id=None, depth=0, is_unheard=True)

    statement = "SELECT FROM scheduling_task WHERE id = %s FOR UPDATE"
    with somebody_holds(statement, held.task_id):
        for _ in range(8):
            let_hear_again(spend=0.1)
            if not Event.objects.get(pk=last.pk).is_unheard:
                break
        assert Run.objects.get().schedule_id == free.pk
        assert set(Event.objects.filter(is_unheard=True).values_list("pk", flat=True)) == {each.pk for each in blocked}
