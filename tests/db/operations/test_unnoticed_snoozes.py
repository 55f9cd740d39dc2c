"""A snooze that is over ended at its own instant, whoever notices first: no clock has looked yet in these tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Sum

from scheduling.audit.models import AuditEntry
from scheduling.clock.firing import run_pass
from scheduling.clock.jobs import end_snoozes
from scheduling.errors import VersionMismatch
from scheduling.events.operations import publish
from scheduling.models import Miss, Run, Schedule, Task
from scheduling.runs.operations import start_run
from scheduling.schedules.operations import pause_schedule, resume_schedule, update_schedule
from scheduling.tasks.operations import pause_task
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import ACTOR, end, follow, listen
from tests.factories import ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def snooze(schedule: Schedule, *, own: timedelta | None = None, of_task: timedelta | None = None) -> None:
    """Paused in the past; each pause ends so long from now."""
    now = datetime.now(UTC)
    if own is not None:
        Schedule.objects.filter(pk=schedule.pk).update(state="paused", paused_until=now + own)
    if of_task is not None:
        paused = {"state": "paused", "paused_at": now - 5 * HOUR, "paused_until": now + of_task}
        Task.objects.filter(pk=schedule.task_id).update(**paused)
        Schedule.objects.filter(pk=schedule.pk).update(held_at=now - 5 * HOUR)


SNOOZES = [
    ({"own": -HOUR}, True),
    ({"of_task": -HOUR}, True),
    ({"own": -HOUR, "of_task": -HOUR / 2}, True),
    ({"own": HOUR}, False),
    ({"of_task": HOUR}, False),
    ({"own": -HOUR, "of_task": HOUR}, False),
    ({"own": HOUR, "of_task": -HOUR}, False),
]


@pytest.mark.parametrize(("snoozes", "is_over"), SNOOZES)
def test_an_event_starts_what_listens_again(snoozes: dict[str, timedelta], is_over: bool) -> None:
    schedule = listen("order.paid")
    snooze(schedule, **snoozes)

    started = publish(actor=ACTOR, topic="order.paid", payload={}).run_ids

    assert len(started) == is_over
    assert Schedule.objects.get(pk=schedule.pk).fired_count == is_over
    end_snoozes()
    assert Run.objects.count() == is_over, "no second time"


@pytest.mark.parametrize(("snoozes", "is_over"), SNOOZES)
def test_the_end_of_a_run_starts_what_follows_again(snoozes: dict[str, timedelta], is_over: bool) -> None:
    first = TaskFactory()
    schedule = follow(first, "success")
    snooze(schedule, **snoozes)
    end(start_run(actor=ACTOR, task=first))

    act_on_run_ends()

    assert Run.objects.filter(schedule=schedule).count() == is_over


def test_a_schedule_that_somebody_has_to_resume_hears_nothing() -> None:
    pause_schedule(actor=ACTOR, schedule=listen("order.paid"))
    pause_task(actor=ACTOR, task=listen("order.paid").task)

    assert publish(actor=ACTOR, topic="order.paid", payload={}).run_ids == []


def hourly(**columns: Any) -> Schedule:
    """Due since four hours ago."""
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 4 * HOUR
    return ScheduleFactory(expression="0 * * * *", next_fire_at=at, misfire_policy="all", **columns)


def missed(schedule: Schedule) -> dict[str, int]:
    sums = Miss.objects.filter(schedule=schedule).values("reason").annotate(total=Sum("count"))
    return {each["reason"]: each["total"] for each in sums}


@pytest.mark.parametrize("snoozes", [{"own": -2.5 * HOUR}, {"of_task": -2.5 * HOUR}])
def test_an_edit_ends_it_first_and_takes_what_came_since_as_live(snoozes: dict[str, timedelta]) -> None:
    schedule = hourly()
    snooze(schedule, **snoozes)
    over_at = datetime.now(UTC) - 2.5 * HOUR
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    due = [this_hour - number * HOUR for number in range(5)]
    held = sum(at < over_at for at in due)
    read = Schedule.objects.get(pk=schedule.pk).updated_at

    edited = update_schedule(actor=ACTOR, schedule=schedule, changes={"expression": "30 * * * *"}, unchanged_since=read)

    assert missed(schedule) == {"paused": held, "edited": len(due) - held}
    assert (edited.state, edited.paused_until, edited.held_at) == ("active", None, None)
    with pytest.raises(VersionMismatch):
        update_schedule(actor=ACTOR, schedule=schedule, changes={"jitter": "PT1S"}, unchanged_since=read)


def test_a_pause_that_comes_after_it_is_another_one() -> None:
    schedule = hourly()
    snooze(schedule, own=-2.5 * HOUR)
    over_at = datetime.now(UTC) - 2.5 * HOUR

    paused = pause_schedule(actor=ACTOR, schedule=schedule, reason="again")

    assert (paused.state, paused.state_reason, paused.paused_until) == ("paused", "again", None)
    assert paused.next_fire_at is not None
    assert over_at < paused.next_fire_at < over_at + HOUR
    actions = AuditEntry.objects.filter(object_id=str(schedule.pk)).order_by("id")
    assert list(actions.values_list("action", flat=True)) == ["schedule.resume", "schedule.pause"]


def test_who_resumes_it_by_hand_finds_it_resumed_and_due() -> None:
    schedule = hourly()
    snooze(schedule, own=-2.5 * HOUR)
    over_at = datetime.now(UTC) - 2.5 * HOUR

    assert resume_schedule(actor=ACTOR, schedule=schedule).state == "active"
    run_pass()

    fired = Run.objects.filter(schedule=schedule).order_by("scheduled_for").values_list("scheduled_for", flat=True)
    assert [at for at in fired if at is not None and at > over_at] == list(fired)
    assert len(fired) + sum(missed(schedule).values()) == 5
