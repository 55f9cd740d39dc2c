"""An agent's schedules keep its minimum interval: on every way in, and at their place."""

from datetime import timedelta

import pytest

from scheduling.agents import operations as agents
from scheduling.errors import NotValid
from scheduling.models import Agent, Schedule, Task
from scheduling.schedules import operations
from scheduling.tasks.operations import create_task
from tests.factories import AgentFactory, ScheduleFactory, TaskFactory

OFTEN = {"kind": "cron", "expression": "*/2 * * * *", "timezone": "UTC"}
SELDOM = {"kind": "cron", "expression": "0 8 * * *", "timezone": "UTC"}


@pytest.fixture
def held_back(db) -> Agent:
    return AgentFactory(minimum_interval=timedelta(minutes=5))


def refusal_of(change) -> tuple[str, str, str | None]:
    with pytest.raises(NotValid) as refused:
        change()
    (problem,) = refused.value.problems
    return problem.pointer, problem.code, problem.hint


def test_a_task_is_made_with_none_that_fires_oftener(actor, held_back):
    definition = {
        "key": "briefing",
        "title": "Briefing",
        "pipeline": {"version": 1, "steps": [{"id": "note", "set": {"done": True}}]},
        "schedules": [SELDOM, OFTEN],
    }

    pointer, code, hint = refusal_of(lambda: create_task(actor=actor, agent=held_back, definition=definition))

    assert (pointer, code) == ("/schedules/1/expression", "too_frequent")
    assert "PT5M" in (hint or "")
    assert not Task.objects.exists()


def test_none_is_added_that_fires_oftener(actor, held_back):
    task = TaskFactory(agent=held_back)

    found = refusal_of(lambda: operations.add_schedule(actor=actor, task=task, definition=OFTEN))

    assert found[:2] == ("/expression", "too_frequent")
    assert not Schedule.objects.exists()
    operations.add_schedule(actor=actor, task=task, definition=SELDOM)


@pytest.mark.parametrize(
    "changes",
    [{"expression": "* * * * *"}, {"kind": "interval", "expression": "PT1M"}, {"rdates": ["2100-01-01T08:01"]}],
)
def test_none_is_changed_to_fire_oftener(actor, held_back, changes):
    schedule = ScheduleFactory(task=TaskFactory(agent=held_back), expression="0 8 * * *")

    found = refusal_of(lambda: operations.update_schedule(actor=actor, schedule=schedule, changes=changes))

    assert found[:2] == ("/expression", "too_frequent")
    assert Schedule.objects.get().expression == "0 8 * * *"


def test_what_says_nothing_of_when_is_changed_all_the_same(actor, held_back):
    schedule = ScheduleFactory(task=TaskFactory(agent=held_back), expression="* * * * *")

    operations.update_schedule(actor=actor, schedule=schedule, changes={"jitter": "PT10S"})

    assert Schedule.objects.get().jitter == timedelta(seconds=10)


def test_an_agent_without_a_bound_may_fire_every_second(actor, agent):
    rule = {"kind": "interval", "expression": "PT1S"}

    operations.add_schedule(actor=actor, task=TaskFactory(agent=agent), definition=rule)


def test_the_bound_is_set_and_changed_by_operations(actor, db):
    agent = agents.create_agent(actor=actor, name="helper", scopes=["tasks:read"], minimum_interval="PT5M")
    agents.update_agent(actor=actor, agent=agent, changes={"minimum_interval": "PT1H"})

    assert Agent.objects.get().minimum_interval == timedelta(hours=1)
    assert refusal_of(lambda: agents.update_agent(actor=actor, agent=agent, changes={"minimum_interval": "5 min"}))[
        :2
    ] == ("/minimum_interval", "invalid_duration")
