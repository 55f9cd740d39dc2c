"""`event.publish` in a worker: once for a step, in the name of the agent, heard by tasks and by runs that wait."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from pipelines.tools.base import ToolContext
from pipelines.tools.event_publish import event_publish
from pipelines.tools.registry import catalog
from scheduling.audit.operations import Actor
from scheduling.models import AuditEntry, Event, Run
from scheduling.runs.operations import start_run
from scheduling.schedules.operations import add_schedule
from tests.factories import AgentFactory, TaskFactory
from tests.races.workers.test_retention import in_a_thread
from tests.workers_support import bench, run
from workers.answering import events, turns

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")


def telling(topic: str = "order.paid", **payload: Any) -> dict[str, Any]:
    told = {"id": "tell", "uses": "event.publish", "with": {"topic": topic, "payload": payload}}
    return {"version": 1, "steps": [told], "outputs": {"told": "${steps.tell}"}}


def go_on() -> None:
    async def work() -> None:
        async with bench(catalog=catalog()) as process:
            await process.run_all()

    run(work())


def context_of(made: Run, path: str = "tell") -> ToolContext:
    return ToolContext(
        run_id=str(made.pk),
        task_id=str(made.task_id),
        step_path=path,
        attempt=1,
        idempotency_key=f"{made.pk}:{path}",
        now=datetime.now(UTC),
        time_left=timedelta(minutes=1),
        agent_id=str(made.agent_id),
    )


def test_it_starts_who_listens_and_answers_who_waits():
    agent = AgentFactory()
    listener = TaskFactory(agent=agent)
    add_schedule(actor=ACTOR, task=listener, definition={"kind": "event", "expression": "order.*"})
    waiting = {
        "version": 1,
        "steps": [{"id": "e", "wait_for_event": {"topic": "order.paid"}}],
        "outputs": {"n": "${steps.e.payload.n}"},
    }
    waits = start_run(actor=ACTOR, task=TaskFactory(agent=agent, document=waiting))
    go_on()
    tells = start_run(actor=ACTOR, task=TaskFactory(agent=agent, document=telling(n=5)))

    go_on()
    turns.take_turn(events.Progress())
    go_on()

    event = Event.objects.get()
    tells.refresh_from_db()
    waits.refresh_from_db()
    started = Run.objects.get(task=listener)
    assert tells.output == {"told": {"id": str(event.pk), "runs": [str(started.pk)]}}
    assert (event.topic, event.payload, event.agent, event.depth) == ("order.paid", {"n": 5}, agent, 1)
    assert waits.output == {"n": 5}
    assert AuditEntry.objects.get(action="event.publish").actor_label == agent.name


def test_a_step_that_is_tried_again_publishes_once_also_side_by_side():
    made = start_run(actor=ACTOR, task=TaskFactory())

    def tell() -> Any:
        return event_publish.call(context_of(made), topic="a.b", payload={"n": 1})

    answers = [wait() for wait in [in_a_thread(tell) for _ in range(4)]]
    other = event_publish.call(context_of(made, "again"), topic="a.b")
    connection.close()

    assert len({answer["id"] for answer in answers}) == 1
    assert other["id"] != answers[0]["id"]
    assert Event.objects.count() == 2


@pytest.mark.parametrize("topic", ["order.", "run.succeeded", "schedule.did_not_run"])
def test_a_topic_that_nobody_may_publish_fails_the_step_and_stores_nothing(topic: str):
    made = start_run(actor=ACTOR, task=TaskFactory(document=telling(topic)))

    go_on()

    made.refresh_from_db()
    assert (made.error["code"], made.error["class"]) == ("bad_argument", "validation")
    assert not Event.objects.exists()


def test_a_circle_is_cut_though_the_one_that_publishes_is_started_by_a_step(settings):
    settings.ORDINAUT_MAX_EVENT_DEPTH = 3
    agent = AgentFactory()
    TaskFactory(agent=agent, key="tells", document=telling("ping.pong"))
    step = {"id": "start", "uses": "task.run", "with": {"task": "tells"}}
    listener = TaskFactory(agent=agent, document={"version": 1, "steps": [step]})
    add_schedule(actor=ACTOR, task=listener, definition={"kind": "event", "expression": "ping.pong"})
    start_run(actor=ACTOR, task=listener)

    for _ in range(12):
        go_on()

    assert Run.objects.filter(task=listener).count() == 4


def test_runs_that_publish_for_each_other_come_to_an_end(settings):
    settings.ORDINAUT_MAX_EVENT_DEPTH = 3
    task = TaskFactory(document=telling("ping.pong"))
    add_schedule(actor=ACTOR, task=task, definition={"kind": "event", "expression": "ping.pong"})
    start_run(actor=ACTOR, task=task)

    for _ in range(8):
        go_on()

    assert Run.objects.filter(task=task).count() == 4
    assert max(Event.objects.values_list("depth", flat=True)) == 4
