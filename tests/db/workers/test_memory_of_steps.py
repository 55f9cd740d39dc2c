"""What a step has published or started is remembered for as long as its run is there to be tried again."""

from datetime import timedelta
from typing import Any

import pytest

from scheduling.audit.operations import Actor
from scheduling.events.operations import publish_for_run
from scheduling.models import Event, IdempotencyRecord, Run
from scheduling.runs.operations import cancel_run, retry_run, start_child_once
from tests.db.workers.test_retention import DAY, ended, lap
from tests.factories import TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")


def publish(made: Run) -> str:
    return str(publish_for_run(run_id=str(made.pk), key="k", topic="order.paid", payload={}).event_id)


def start(made: Run) -> str:
    return start_child_once(run_id=str(made.pk), idempotency_key="k", key="called", params={})


@pytest.fixture(params=[publish, start])
def deed(request: pytest.FixtureRequest) -> Any:
    return request.param


def long_dead(age: timedelta) -> Run:
    """A run that failed so long ago, beside a task that it may start."""
    made = ended(age, "failed")
    TaskFactory(agent=made.agent, key="called")
    return made


def test_a_dead_run_that_is_redriven_late_repeats_nothing_of_it(deed: Any):
    made = long_dead(89 * DAY)
    done = deed(made)
    # As if it had been done then, and retention had come by every day since.
    IdempotencyRecord.objects.filter(expires_at__isnull=False).update(expires_at=made.created_at + 30 * DAY)

    assert lap() == {}
    retry_run(actor=ACTOR, run=made)

    assert deed(made) == done
    assert Event.objects.filter(topic="order.paid").count() + Run.objects.filter(parent=made).count() == 1


def test_it_goes_with_the_run_and_leaves_what_others_have_done(deed: Any):
    gone, young = long_dead(91 * DAY), long_dead(1 * DAY)
    for each in (gone, young):
        deed(each)
    for child in Run.objects.filter(parent=gone):  # while it is live, its parent stays
        cancel_run(actor=ACTOR, run=child)

    assert lap() == {"failed": 1}
    assert [record.actor_id for record in IdempotencyRecord.objects.all()] == [f"run:{young.pk}"]
