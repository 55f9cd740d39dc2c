from typing import Any

import pytest
from django.db.models.functions import Now

from scheduling.audit.operations import Actor
from scheduling.models import DueWork, Run, Schedule, Task
from scheduling.runs.states import FailureCause, RunState
from scheduling.schedules.operations import add_schedule
from tests.factories import TaskFactory

ACTOR = Actor.system("tests")


def listen(expression: str = "order.*", *, task: Task | None = None, **definition: Any) -> Schedule:
    """A schedule that waits for events."""
    return add_schedule(
        actor=ACTOR, task=task or TaskFactory(), definition={"kind": "event", "expression": expression, **definition}
    )


def follow(followed: Task, expression: str = "success", *, task: Task | None = None, **definition: Any) -> Schedule:
    """A schedule that waits for the end of a run of `followed`."""
    task = task or TaskFactory(agent=followed.agent)
    return add_schedule(
        actor=ACTOR,
        task=task,
        definition={"kind": "after", "expression": expression, "after": followed.key, **definition},
    )


def end(run: Run, state: RunState = RunState.SUCCEEDED, *, output: Any = None, error: Any = None) -> None:
    """End a run as a worker does: its row is final, its due work is gone."""
    Run.objects.filter(pk=run.pk).update(
        state=state,
        output=output,
        error=error,
        cause=FailureCause.PERMANENT if state == RunState.FAILED else "",
        finished_at=Now(),
    )
    DueWork.objects.filter(pk=run.pk).delete()


@pytest.fixture
def actor() -> Actor:
    return ACTOR
