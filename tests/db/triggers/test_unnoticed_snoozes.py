"""A snooze that is over keeps no event and no end of a run from what waits for it, though no clock has looked yet."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.clock.jobs import end_snoozes
from scheduling.events.operations import publish
from scheduling.models import Run, Schedule, Task
from scheduling.runs.operations import start_run
from scheduling.schedules.operations import pause_schedule
from scheduling.tasks.operations import pause_task
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import ACTOR, end, follow, listen
from tests.factories import TaskFactory

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
