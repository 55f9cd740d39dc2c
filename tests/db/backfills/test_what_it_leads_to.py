"""What a backfill leads to weighs as its own runs do: it stands behind live work, and nothing live falls out for it."""

from datetime import UTC, datetime

import pytest

from scheduling.audit.operations import Actor
from scheduling.events.operations import publish_for_run
from scheduling.models import DueWork, Run, Task
from scheduling.runs.admission import Start, admit
from scheduling.runs.operations import retry_run, start_child, start_run
from scheduling.runs.states import Gate, RunState, TriggerKind
from scheduling.schedules.operations import add_schedule
from scheduling.tasks.operations import pause_task
from tests.db.triggers.conftest import end, follow
from tests.factories import AgentFactory, BackfillFactory, RunFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("tests")


def backfilled(task: Task, **fields: object) -> Run:
    """Of a backfill that keeps to the task's overlap policy."""
    backfill = BackfillFactory(schedule__task=task, overlap="queue_all")
    made: Run = RunFactory(task=task, trigger_kind="backfill", backfill=backfill, **fields)
    return made


def priority_of(run: Run) -> int:
    return DueWork.objects.get(pk=run.pk).priority


def admit_live(task: Task) -> Run:
    from django.db import connection

    schedule = ScheduleFactory(task=task)
    start = Start(
        task_id=task.pk,
        trigger_kind=TriggerKind.SCHEDULE,
        schedule_id=schedule.pk,
        scheduled_for=datetime.now(UTC),
    )
    with connection.cursor() as cursor:
        (admitted,) = admit(cursor, [start])
    return Run.objects.get(pk=admitted.run_id)


def test_a_run_that_is_redriven_keeps_the_lowest_priority():
    task = TaskFactory(priority=3)
    failed, own = backfilled(task, dead=True), RunFactory(task=task, dead=True)

    for run in (failed, own):
        retry_run(actor=ACTOR, run=run)

    assert (priority_of(failed), priority_of(own)) == (9, 3)


def test_what_its_runs_publish_run_and_are_followed_by_has_it_too():
    agent = AgentFactory()
    source, heard, called, after = (TaskFactory(agent=agent, key=key, priority=3) for key in ("s", "h", "c", "a"))
    add_schedule(actor=ACTOR, task=heard, definition={"kind": "event", "expression": "told.*"})
    follow(source, task=after)
    run = backfilled(source)

    publish_for_run(run_id=str(run.pk), key="k", topic="told.it", payload={})
    child = start_child(parent=run, key="c", params={})

    listener = Run.objects.get(task=heard)
    assert [(each.is_backfilled, priority_of(each)) for each in (listener, child)] == [(True, 9)] * 2
    assert not start_run(actor=ACTOR, task=called).is_backfilled


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all"])
def test_a_live_occurrence_waits_for_what_a_backfill_has_led_to_and_does_not_fall_out(overlap: str):
    agent = AgentFactory()
    source = TaskFactory(agent=agent)
    TaskFactory(agent=agent, key="c", overlap=overlap)
    child = start_child(parent=backfilled(source), key="c", params={})

    live = admit_live(child.task)

    assert (live.state, DueWork.objects.get(pk=live.pk).gate) == ("queued", Gate.OVERLAP)
    assert priority_of(child) == 5, "what it waits for is hurried"


@pytest.mark.parametrize("redriven", [0, 3])
@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all"])
def test_what_of_it_waits_for_the_end_of_a_pause_is_not_in_the_way_of_run_now(overlap: str, redriven: int):
    agent = AgentFactory()
    task = TaskFactory(agent=agent, key="c", overlap=overlap)
    failed = [backfilled(task, dead=True) for _ in range(redriven)]
    start_child(parent=backfilled(TaskFactory(agent=agent)), key="c", params={})
    for run in failed:
        retry_run(actor=ACTOR, run=run)
    pause_task(actor=ACTOR, task=task, reason="x")

    first = start_run(actor=ACTOR, task=task)
    second = start_run(actor=ACTOR, task=task)

    assert (first.state, DueWork.objects.get(pk=first.pk).gate) == ("queued", None)
    assert second.state == ("skipped" if overlap == "skip" else "queued")


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all"])
def test_however_much_of_it_is_held_a_live_occurrence_waits(overlap: str):
    task = TaskFactory(overlap=overlap)
    failed = [backfilled(task, dead=True) for _ in range(4)]
    for run in failed:
        retry_run(actor=ACTOR, run=run)

    first, second = admit_live(task), admit_live(task)

    assert (first.state, DueWork.objects.get(pk=first.pk).gate) == ("queued", Gate.OVERLAP)
    assert second.state == ("queued" if overlap == "queue_all" else "skipped"), "one waits, as its policy says"


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all", "cancel_running"])
def test_it_neither_cancels_a_live_run_nor_takes_its_place(overlap: str):
    agent = AgentFactory()
    task = TaskFactory(agent=agent, key="c", overlap=overlap)
    live = start_run(actor=ACTOR, task=task)

    child = start_child(parent=backfilled(TaskFactory(agent=agent)), key="c", params={})
    next_live = admit_live(task)

    live.refresh_from_db()
    assert live.state == ("canceled" if overlap == "cancel_running" else "queued"), "canceled by the next live one only"
    assert child.state == ("skipped" if overlap == "skip" else "queued")
    assert next_live.state == ("skipped" if overlap == "skip" else "queued")


def test_among_itself_the_newest_replaces_the_older_where_the_policy_says_so():
    agent = AgentFactory()
    TaskFactory(agent=agent, key="c", overlap="cancel_running")
    parent = backfilled(TaskFactory(agent=agent))

    first, second = (start_child(parent=parent, key="c", params={}) for _ in range(2))

    first.refresh_from_db()
    assert (first.state, second.state) == ("canceled", "queued")


@pytest.mark.django_db(transaction=True)
def test_its_failures_pause_no_task():
    from scheduling.triggers.run_ends import act_on_run_ends

    task = TaskFactory(pause_after_failures=2)
    for run in [backfilled(task) for _ in range(3)]:
        DueWork.objects.create(
            run=run, task=task, queue="default", priority=9, available_at=datetime.now(UTC), is_watched=True
        )
        end(run, RunState.FAILED, error={"code": "no"})
    act_on_run_ends()
    task.refresh_from_db()
    assert task.state == "active"

    for _ in range(2):
        end(start_run(actor=ACTOR, task=task), RunState.FAILED, error={"code": "no"})
    act_on_run_ends()
    task.refresh_from_db()
    assert task.state == "paused"
