"""Tasks that keep fewer runs than the settings say, or more: which of theirs retention deletes."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.models import (
    DedupeKey,
    Run,
)
from tests.db.workers.test_retention import DAY, alive, ended, id_of, lap
from tests.factories import DueWorkFactory, RunFactory, TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_task_keeps_its_newest_runs():
    task, other = TaskFactory(keep_runs=2), TaskFactory()
    mine = [ended(timedelta(hours=9 - n), state, task=task) for n, state in enumerate(["succeeded", "failed"] * 3)]
    theirs = [ended(timedelta(hours=9), task=other) for _ in range(3)]

    assert lap() == {"surplus": 4}
    assert alive(*mine, *theirs) == {each.pk for each in [*mine[-2:], *theirs]}


def test_which_runs_are_the_newest_of_a_task_the_clock_of_the_database_says(settings):
    """Some hosts' clocks are ahead and others late, by more runs than a batch has: then it may take another lap."""
    settings.ORDINAUT_RETENTION_BATCH = 2
    task, hour = TaskFactory(keep_runs=3), timedelta(hours=1)
    clocks = [hour, timedelta(0), -hour]
    runs = [ended(age * hour / 4, task=task, id=id_of(age * hour / 4 - clocks[age % 3])) for age in range(20, 0, -1)]

    newest = {each.pk for each in runs[-3:]}
    assert lap("surplus")["surplus"] > 10
    assert alive(*runs) >= newest
    lap("surplus")
    assert alive(*runs) == newest


def test_runs_that_were_made_at_once_are_counted_one_by_one():
    task, at = TaskFactory(keep_runs=2), datetime.now(UTC) - DAY
    for _ in range(5):
        ended(DAY, task=task, created_at=at)

    assert lap("surplus") == {"surplus": 3}


def test_a_live_run_is_among_the_newest_and_never_surplus():
    task = TaskFactory(keep_runs=1)
    old_and_live = DueWorkFactory(run=RunFactory(id=id_of(5 * DAY), task=task))
    gone = ended(2 * DAY, task=task)
    newest = DueWorkFactory(run=RunFactory(task=task))

    assert lap() == {"surplus": 1}
    assert alive(old_and_live.run, gone, newest.run) == {old_and_live.run_id, newest.run_id}


def test_a_task_keeps_its_runs_for_less_time_or_for_more():
    brief, long = TaskFactory(keep_for=DAY), TaskFactory(keep_for=400 * DAY)
    gone, young = ended(2 * DAY, "failed", task=brief), ended(DAY / 2, task=brief)
    late = ended(2 * DAY, task=brief, finished_at=datetime.now(UTC))
    kept, beyond = ended(300 * DAY, task=long), ended(401 * DAY, task=long)

    assert sum(lap().values()) == 2
    assert alive(gone, young, late, kept, beyond) == {young.pk, late.pk, kept.pk}


def test_surplus_of_several_tasks_is_deleted_over_several_batches(settings):
    settings.ORDINAUT_RETENTION_BATCH = 2
    tasks = [TaskFactory(keep_runs=1) for _ in range(5)]
    for task in tasks:
        for hours in range(4):
            ended(timedelta(hours=hours), task=task)

    assert lap("surplus") == {"surplus": 15}
    assert Run.objects.count() == 5


def test_surplus_that_something_refers_to_does_not_hold_up_the_others(settings):
    settings.ORDINAUT_RETENTION_BATCH = 1
    tasks = sorted((TaskFactory(keep_runs=1) for _ in range(2)), key=lambda task: task.pk)
    for task in tasks:
        old, _ = ended(2 * DAY, task=task), ended(1 * DAY, task=task)
        if task is tasks[0]:
            DueWorkFactory(run=RunFactory(replay_of=old))

    assert lap("surplus") == {"surplus": 1}


def test_a_batch_of_surplus_that_all_stays_does_not_hold_up_the_rest_of_its_task(settings):
    settings.ORDINAUT_RETENTION_BATCH = 2
    task = TaskFactory(keep_runs=1)
    held, gone = [ended(timedelta(hours=9), task=task) for _ in range(5)], [ended(DAY / 3, task=task) for _ in range(5)]
    newest = ended(DAY / 4, task=task)
    for number, each in enumerate(held):
        DedupeKey.objects.create(task=task, key=f"{number}", run=each, expires_at=datetime.now(UTC) + DAY)

    assert lap("surplus") == {"surplus": 5}
    assert alive(*held, *gone, newest) == {each.pk for each in [*held, newest]}
    assert lap("surplus") == {}
