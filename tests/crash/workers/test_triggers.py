"""Events, conditions and followers from end to end: a real clock, real workers, and what their pipelines read."""

from datetime import timedelta
from typing import Any

import pytest

from scheduling.audit.operations import Actor
from scheduling.events.operations import publish
from scheduling.models import Event, Run, RunEnd, Task
from scheduling.runs.states import RunState
from scheduling.schedules.operations import add_schedule
from tests.crash.workers.conftest import Fleet
from tests.factories import TaskFactory
from tests.invariants import broken_invariants
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")


def task_that_says(output: Any, **fields: Any) -> Task:
    document = {"version": 1, "steps": [{"id": "say", "set": {"it": output}}], "outputs": {"said": "${steps.say.it}"}}
    return TaskFactory(document=document, **fields)


def schedule(task: Task, **definition: Any) -> Any:
    return add_schedule(actor=ACTOR, task=task, definition=definition)


def ended(task: Task) -> Run | None:
    return Run.objects.filter(task=task, state=RunState.SUCCEEDED).exclude(trigger_kind="check").first()


def clock(fleet: Fleet, name: str = "clock") -> Any:
    return manage("runscheduler", "--no-housekeeping", env=fleet.env, log=fleet.folder / f"{name}.log")


def test_an_event_starts_a_run_that_reads_it_and_another_task_follows(fleet: Fleet) -> None:
    first = task_that_says("${event.payload.name}")
    second = task_that_says("${event.payload.output.said}, again", agent=first.agent)
    schedule(first, kind="event", expression="greeting.*")
    schedule(second, kind="after", expression="success", after=first.key)

    with fleet.host(), clock(fleet):
        publish(actor=ACTOR, topic="greeting.morning", payload={"name": "Ana"})
        run = wait_until(lambda: ended(second), what="the follower to end")

    followed = Run.objects.get(task=first)
    assert followed.output == {"said": "Ana"}
    assert run.output == {"said": "Ana, again"}
    assert run.event is not None
    assert (run.event.topic, run.event.depth) == ("run.succeeded", 1)
    assert followed.finished_at is not None
    assert run.created_at - followed.finished_at < timedelta(seconds=3)
    assert not broken_invariants()


def test_a_condition_fires_on_its_rising_edge_and_not_again_while_it_holds(fleet: Fleet) -> None:
    task = task_that_says("${event.payload.outputs.met}")
    condition = schedule(
        task,
        kind="condition",
        expression="PT1S",
        check={"version": 1, "steps": [{"id": "look", "set": {"met": True}}], "outputs": {"met": "${steps.look.met}"}},
    )

    with fleet.host(), clock(fleet):
        run = wait_until(lambda: ended(task), what="the condition to fire")
        wait_until(
            lambda: Run.objects.filter(schedule=condition, trigger_kind="check", state="succeeded").count() >= 4,
            what="a few more checks",
        )
        wait_until(lambda: not RunEnd.objects.exists(), what="their ends to be acted on")

    assert run.output == {"said": True}
    assert Run.objects.filter(schedule=condition, trigger_kind="condition").count() == 1


def test_two_clocks_act_on_each_end_once(fleet: Fleet) -> None:
    first = task_that_says("${event.payload.n}")
    second = task_that_says("${event.payload.output.said}", agent=first.agent)
    schedule(first, kind="event", expression="tick")
    schedule(second, kind="after", expression="end", after=first.key)

    with fleet.host(), clock(fleet, "one"), clock(fleet, "two"):
        for n in range(40):
            publish(actor=ACTOR, topic="tick", payload={"n": n})
        wait_until(
            lambda: Run.objects.filter(task=second, state=RunState.SUCCEEDED).count() >= 40, what="all followers to end"
        )
        wait_until(lambda: not RunEnd.objects.exists(), what="all ends to be acted on")

    said = sorted(run.output["said"] for run in Run.objects.filter(task=second))
    assert said == list(range(40))
    assert Event.objects.filter(topic="run.succeeded").count() == 40


def test_an_end_outlives_a_clock_that_is_killed(fleet: Fleet) -> None:
    first = task_that_says("once")
    second = task_that_says("then", agent=first.agent)
    schedule(first, kind="event", expression="tick")
    schedule(second, kind="after", expression="success", after=first.key)

    with fleet.host():
        with clock(fleet, "one") as process:
            process.kill()
            process.wait(10)
            publish(actor=ACTOR, topic="tick")
            wait_until(lambda: ended(first), what="the followed run to end")
        assert RunEnd.objects.count() == 1
        with clock(fleet, "two"):
            wait_until(lambda: ended(second), what="the follower to end")

    assert Run.objects.filter(task=second).count() == 1
