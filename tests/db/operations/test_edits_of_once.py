"""A `once` within its grace still fires; edits of it make no second place for its one occurrence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Sum

from scheduling.audit.operations import Actor
from scheduling.clock.firing import run_pass
from scheduling.models import Miss, Run, Schedule
from scheduling.schedules.operations import pause_schedule, resume_schedule, update_schedule
from scheduling.tasks.operations import pause_task, resume_task
from tests.factories import DueWorkFactory, RunFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
HOUR = timedelta(hours=1)


def just_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=2)


def once(at: datetime, **columns: Any) -> Schedule:
    defaults = {"next_fire_at": at, "misfire_grace": 5 * HOUR}
    return ScheduleFactory(kind="once", expression=at.isoformat(), **{**defaults, **columns})


def edit(schedule: Schedule, **changes: Any) -> Schedule:
    return update_schedule(actor=ACTOR, schedule=schedule, changes=changes)


CHANGES = [
    {"timezone": "Europe/London"},
    {"ends_at": (datetime.now(UTC) + HOUR).replace(microsecond=0).isoformat()},
    {"gap": "skip"},
]


def places(schedule: Schedule) -> tuple[int, int]:
    """Runs and misses of its occurrences."""
    misses = Miss.objects.filter(schedule=schedule).aggregate(total=Sum("count"))["total"] or 0
    return Run.objects.filter(schedule=schedule).count(), misses


@pytest.mark.parametrize("change", CHANGES)
def test_one_that_is_due_when_it_is_edited_fires_and_is_not_missed_as_well(change: dict[str, Any]) -> None:
    schedule = once(just_now())

    edited = edit(schedule, **change)
    run_pass()

    assert edited.state == "active"
    assert places(schedule) == (1, 0)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("overlap", ["allow", "skip", "cancel_running"])
def test_one_that_has_had_its_run_comes_to_no_other(change: dict[str, Any], overlap: str) -> None:
    schedule = once(just_now(), task=TaskFactory(overlap=overlap))
    run_pass()
    schedule.refresh_from_db()
    by_hand = DueWorkFactory(run=RunFactory(task=schedule.task), is_exclusive=overlap != "allow")

    edited = edit(schedule, **change)
    run_pass()

    assert (edited.state, edited.next_fire_at) == ("completed", None)
    assert places(schedule) == (1, 0)
    assert Run.objects.get(schedule=schedule).state == "queued"
    assert Run.objects.get(pk=by_hand.pk).state != "canceled"


def test_one_whose_rdates_are_still_to_come_goes_on_with_them() -> None:
    schedule = once(just_now())
    run_pass()
    schedule.refresh_from_db()
    later = (datetime.now(UTC) + HOUR).replace(microsecond=0, tzinfo=None)

    edited = edit(schedule, rdates=[later.isoformat()])

    assert (edited.state, edited.next_fire_at) == ("active", later.replace(tzinfo=UTC))
    assert places(schedule) == (1, 0)


def test_one_that_was_missed_in_a_pause_is_not_replayed_by_an_edit() -> None:
    schedule = once(just_now())
    pause_schedule(actor=ACTOR, schedule=schedule)
    resume_schedule(actor=ACTOR, schedule=schedule)
    schedule.refresh_from_db()

    edited = edit(schedule, timezone="Europe/London")
    run_pass()

    assert edited.state == "completed"
    assert places(schedule) == (0, 1)


def test_edits_in_a_pause_count_it_missed_once() -> None:
    schedule = once(just_now())
    pause_task(actor=ACTOR, task=schedule.task)
    schedule.refresh_from_db()
    for change in CHANGES:
        schedule = edit(schedule, **change)

    resume_task(actor=ACTOR, task=schedule.task)
    run_pass()

    assert places(schedule) == (0, 1)


def test_another_instant_within_the_grace_is_another_occurrence() -> None:
    schedule = once(just_now() - timedelta(minutes=5))
    run_pass()
    schedule.refresh_from_db()

    edited = edit(schedule, expression=just_now().isoformat())
    run_pass()

    assert edited.state == "active"
    assert places(schedule) == (2, 0)
