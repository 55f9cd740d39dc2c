"""Nobody approves what they have started, however many events and followers stand between them and the question."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from pipelines.tools.registry import catalog
from scheduling.agents.models import Agent
from scheduling.audit.operations import Actor
from scheduling.events.operations import publish
from scheduling.models import Event, Run, Task
from scheduling.runs.operations import start_run
from scheduling.runs.states import RunState
from scheduling.tasks.operations import create_task
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import end, follow, listen
from tests.factories import AgentFactory, OperatorFactory, TaskFactory
from tests.workers_support import bench, run
from workers.answering import events, turns
from workers.approvals.operations import MayNotDecide, approve
from workers.approvals.selectors import approvals

pytestmark = pytest.mark.django_db(transaction=True)

ASKS = {"version": 1, "steps": [{"id": "ok", "approval": {"title": "Pay?"}}]}
TELLS = {
    "version": 1,
    "steps": [{"id": "tell", "uses": "event.publish", "with": {"topic": "pay.asked", "payload": {}}}],
}

_NUMBERS = count()


def go_on() -> None:
    async def work() -> None:
        async with bench(catalog=catalog()) as process:
            await process.run_all()

    run(work())


def task_of(pipeline: Any, agent: Agent | None = None) -> Task:
    definition = {"key": f"task-{next(_NUMBERS)}", "title": "A task", "pipeline": pipeline}
    return create_task(actor=Actor.system("tests"), agent=agent or AgentFactory(), definition=definition)


def by_an_event(actor: Actor) -> None:
    listen("pay.asked", task=task_of(ASKS))
    publish(actor=actor, topic="pay.asked")


def by_an_event_of_a_run(actor: Actor) -> None:
    listen("pay.asked", task=task_of(ASKS))
    start_run(actor=actor, task=task_of(TELLS))
    go_on()


def by_the_end_of_a_run(actor: Actor) -> None:
    followed = TaskFactory()
    follow(followed, "end", task=task_of(ASKS, followed.agent))
    end(start_run(actor=actor, task=followed))
    act_on_run_ends()


WAYS = [by_an_event, by_an_event_of_a_run, by_the_end_of_a_run]


@pytest.mark.parametrize("way", WAYS)
def test_whoever_led_to_the_run_does_not_decide(way: Callable[[Actor], None]):
    ann, bob = (Actor.of_operator(OperatorFactory(username=name, is_superuser=True)) for name in ("ann", "bob"))
    way(ann)
    go_on()
    question = approvals().get()

    with pytest.raises(MayNotDecide, match="Nobody decides about a run that they have started"):
        approve(actor=ann, approval=question)

    assert approve(actor=bob, approval=question).outcome == "approved"
    assert Run.objects.get(pk=question.run_id).triggered_by == str(ann)


def test_the_end_of_a_simulated_run_reaches_no_run_that_acts_for_real():
    waits = {
        "version": 1,
        "steps": [
            {"id": "now", "wait_for_event": {"topic": "run.*", "timeout": "PT1H"}},
        ],
        "outputs": {"of": "${steps.now.payload.run}"},
    }
    waiting = start_run(actor=Actor.system("tests"), task=task_of(waits))
    go_on()
    followed = TaskFactory()
    follow(followed, "end")
    ended = {}
    for simulate in (True, False):
        ended[simulate] = start_run(actor=Actor.system("tests"), task=followed, simulate=simulate)
        end(ended[simulate], RunState.SUCCEEDED)
        act_on_run_ends()
    assert [(event.simulated, event.payload["simulated"]) for event in Event.objects.order_by("pk")] == [
        (True, True),
        (False, False),
    ]

    turns.take_turn(events.Progress())
    go_on()

    waiting.refresh_from_db()
    assert (waiting.state, waiting.output) == ("succeeded", {"of": str(ended[False].pk)})
