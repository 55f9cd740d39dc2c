"""`task.run` in a worker: once for a step, for the same agent, below the run that asks."""

from typing import Any

import pytest
from django.db import connection

from pipelines.errors import PipelineError
from pipelines.tools.task_run import task_run
from scheduling.audit.operations import Actor
from scheduling.models import AuditEntry, Run
from scheduling.runs.operations import start_run
from scheduling.runs.states import RunState
from scheduling.tasks.operations import archive_task
from tests.db.workers.test_event_publish import context_of, go_on
from tests.factories import AgentFactory, TaskFactory
from tests.races.workers.test_retention import in_a_thread

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
CALLED = {
    "version": 1,
    "params_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "steps": [{"id": "a", "set": {"n": "${params.n}"}}],
    "outputs": {"n": "${steps.a.n}"},
}


def asking(task: str, **params: Any) -> dict[str, Any]:
    step = {"id": "start", "uses": "task.run", "with": {"task": task, "params": params}}
    return {"version": 1, "steps": [step], "outputs": {"started": "${steps.start.run_id}"}}


def failure(made: Run, **given: Any) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        task_run.call(context_of(made), **given)
    return caught.value


def test_it_starts_the_task_and_goes_on():
    agent = AgentFactory()
    called = TaskFactory(agent=agent, key="called", document=CALLED)
    made = start_run(actor=ACTOR, task=TaskFactory(agent=agent, document=asking("called", n=5)))

    go_on()
    go_on()

    made.refresh_from_db()
    started = Run.objects.get(task=called)
    assert made.output == {"started": str(started.pk)}
    assert (started.parent_id, started.state, started.output) == (made.pk, RunState.SUCCEEDED, {"n": 5})
    assert AuditEntry.objects.get(action="run.start", object_id=str(started.pk)).after["parent"] == str(made.pk)


def test_a_step_that_is_tried_again_starts_one_run_also_side_by_side():
    agent = AgentFactory()
    TaskFactory(agent=agent, key="called", document=CALLED)
    made = start_run(actor=ACTOR, task=TaskFactory(agent=agent))

    def ask() -> Any:
        return task_run.call(context_of(made), task="called", params={"n": 1})

    answers = [wait() for wait in [in_a_thread(ask) for _ in range(4)]]
    other = task_run.call(context_of(made, "again"), task="called", params={"n": 1})
    connection.close()

    assert len({answer["run_id"] for answer in answers}) == 1
    assert other["run_id"] != answers[0]["run_id"]
    assert Run.objects.filter(parent_id=made.pk).count() == 2


@pytest.mark.parametrize(
    ("given", "code", "error_class", "words"),
    [
        ({"task": "missing"}, "unknown_task", "permanent", "'missing'"),
        ({"task": "anothers"}, "unknown_task", "permanent", "'anothers'"),
        ({"task": "archived"}, "illegal_transition", "permanent", "archived"),
        ({"task": "own"}, "recursive_run", "permanent", "already above this run"),
        ({"task": "called", "params": {"n": "x"}}, "bad_argument", "validation", "/params/n"),
        ({"task": "called", "params": {"n": 1, "t": "\x00"}}, "bad_argument", "validation", "/params/t"),
    ],
)
def test_what_cannot_be_started_fails_the_step_and_stores_nothing(given, code, error_class, words):
    agent = AgentFactory()
    TaskFactory(agent=agent, key="called", document=CALLED)
    TaskFactory(key="anothers", document=CALLED)
    archive_task(actor=ACTOR, task=TaskFactory(agent=agent, key="archived"))
    made = start_run(actor=ACTOR, task=TaskFactory(agent=agent, key="own"))

    error = failure(made, **given)

    assert (error.code, error.error_class) == (code, error_class)
    assert words in error.detail
    assert Run.objects.count() == 1


def test_what_was_refused_is_tried_afresh():
    agent = AgentFactory()
    made = start_run(actor=ACTOR, task=TaskFactory(agent=agent))
    assert failure(made, task="called").code == "unknown_task"
    TaskFactory(agent=agent, key="called", document=CALLED)

    answer = task_run.call(context_of(made), task="called", params={"n": 1})
    connection.close()

    assert Run.objects.get(pk=answer["run_id"]).parent_id == made.pk
