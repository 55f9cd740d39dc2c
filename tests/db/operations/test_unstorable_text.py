"""Text that PostgreSQL cannot keep is refused by the operations themselves, whoever calls them."""

from collections.abc import Callable
from typing import Any

import pytest

from scheduling.agents.operations import create_operator, issue_token
from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.backfills.operations import cancel_backfill
from scheduling.bulk.operations import cancel_operation
from scheduling.errors import NotValid
from scheduling.queues.operations import pause_queue
from scheduling.runs.operations import cancel_run, snooze_run, start_run
from scheduling.schedules.operations import pause_schedule
from scheduling.tasks.operations import pause_task
from tests.factories import (
    AgentFactory,
    BackfillFactory,
    BulkOperationFactory,
    DueWorkFactory,
    ScheduleFactory,
    TaskFactory,
    WorkerFactory,
)
from workers.operations import drain_worker

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("tests")
PASSWORD = "correct horse battery"

OPERATIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "pause_schedule": ("reason", lambda text: pause_schedule(actor=ACTOR, schedule=ScheduleFactory(), reason=text)),
    "pause_task": ("reason", lambda text: pause_task(actor=ACTOR, task=TaskFactory(), reason=text)),
    "pause_queue": ("reason", lambda text: pause_queue(actor=ACTOR, name="default", reason=text)),
    "cancel_run": ("reason", lambda text: cancel_run(actor=ACTOR, run=DueWorkFactory().run, reason=text)),
    "snooze_run": ("reason", lambda text: snooze_run(actor=ACTOR, run=DueWorkFactory().run, reason=text)),
    "cancel_backfill": ("reason", lambda text: cancel_backfill(actor=ACTOR, backfill=BackfillFactory(), reason=text)),
    "cancel_operation": (
        "reason",
        lambda text: cancel_operation(actor=ACTOR, operation=BulkOperationFactory(), reason=text),
    ),
    "drain_worker": ("reason", lambda text: drain_worker(actor=ACTOR, worker=WorkerFactory(), reason=text)),
    "issue_token": ("name", lambda text: issue_token(actor=ACTOR, agent=AgentFactory(), name=text)),
    "create_operator": (
        "username",
        lambda text: create_operator(actor=ACTOR, username=text, password=PASSWORD, role="viewer"),
    ),
    "start_run": ("params", lambda text: start_run(actor=ACTOR, task=TaskFactory(), params={"a": text})),
}


@pytest.mark.parametrize(("text", "code"), [("a\x00b", "nul_character"), ("a\ud800", "lone_surrogate")])
@pytest.mark.parametrize("name", OPERATIONS)
def test_it_is_refused_at_its_place(name: str, text: str, code: str):
    place, operate = OPERATIONS[name]

    with pytest.raises(NotValid) as refused:
        operate(text)

    (problem,) = refused.value.problems
    assert problem.pointer.startswith(f"/{place}")
    assert problem.code == code
    assert not AuditEntry.objects.exists()
