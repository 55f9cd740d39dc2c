"""A snooze that is over keeps no event and no end of a run from what waits for it, though no clock has looked yet."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.clock.jobs import end_snoozes
from scheduling.events.operations import publish
from scheduling.models import Miss, Run, Schedule, Task
from scheduling.runs.operations import start_run
from scheduling.schedules.operations import add_schedule, pause_schedule
from scheduling.tasks.operations import pause_task
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import ACTOR, end, follow, listen
from tests.factories import DueWorkFactory, RunFactory, TaskFactory

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
    ({"own": -HOUR / 2, "of_task": -HOUR}, True),
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


@pytest.mark.parametrize(("own", "of_task"), [(HOUR, 2 * HOUR), (2 * HOUR, HOUR)])
def test_the_last_of_its_runs_completes_a_schedule_whose_snoozes_are_over(own: timedelta, of_task: timedelta) -> None:
    schedule = listen("order.paid", max_occurrences=1)
    snooze(schedule, own=-own, of_task=-of_task)

    assert len(publish(actor=ACTOR, topic="order.paid", payload={}).run_ids) == 1

    schedule.refresh_from_db()
    assert (schedule.state, schedule.paused_until) == ("completed", None)
    end_snoozes()
    schedule.refresh_from_db()
    assert schedule.state == "completed"


@pytest.mark.parametrize(("own", "of_task"), [(HOUR, 2 * HOUR), (2 * HOUR, HOUR)])
def test_a_check_that_ends_after_both_snoozes_lets_nothing_through_that_either_of_them_took(
    own: timedelta, of_task: timedelta
) -> None:
    """The check was started before the pauses, and nobody has noticed their ends."""
    check = {"version": 1, "steps": [{"id": "look", "set": {"met": True}}], "outputs": {"met": "${steps.look.met}"}}
    definition = {"kind": "condition", "expression": "PT5M", "check": check}
    schedule = add_schedule(actor=ACTOR, task=TaskFactory(), definition=definition)
    now = datetime.now(UTC)
    mark = now.replace(minute=0, second=0, microsecond=0) - 4 * HOUR
    Schedule.objects.filter(pk=schedule.pk).update(starts_at=datetime(2026, 1, 1), next_fire_at=mark)
    looked = RunFactory(
        task=schedule.task,
        schedule=schedule,
        revision=schedule.check_revision,
        trigger_kind="check",
        scheduled_for=mark - HOUR,
    )
    DueWorkFactory(run=looked, is_watched=True)
    snooze(schedule, own=-own, of_task=-of_task)

    end(looked, output={"met": True})
    act_on_run_ends()
    end_snoozes()

    assert Run.objects.filter(schedule=schedule, trigger_kind="condition").count() == 1
    (paused,) = Miss.objects.all()
    over = now - min(own, of_task)
    assert (paused.reason, paused.first_at) == ("paused", mark)
    assert over - timedelta(minutes=5) <= paused.last_at < over + timedelta(seconds=30)
