"""Finding who listens to an event or follows a task, at a size at which a scan would hurt."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.core.topics import patterns_of
from scheduling.events.operations import publish
from scheduling.instants import database_now
from scheduling.models import Run, RunEnd, Schedule
from scheduling.runs.operations import start_run
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import ACTOR, end
from tests.factories import ScheduleFactory, TaskFactory
from tests.population import copies_of

pytestmark = pytest.mark.django_db(transaction=True)

HOW_MANY = 20_000
LONG_TOPIC = ".".join("abcdefghij")


def plans_of(work: Callable[[], Any]) -> str:
    """The plans of the reads of schedules, tasks and ends of runs that the work makes."""
    found: list[str] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("SELECT", "(SELECT", "\nDELETE FROM scheduling_runend")) and any(
            table in sql for table in ('FROM "scheduling_schedule"', 'FROM "scheduling_task"', "scheduling_runend")
        ):
            with connection.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", params)
                found.append("\n".join(line for (line,) in cursor.fetchall()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        work()
    assert found
    return "\n\n".join(found)


def test_listeners_and_followers_are_found_by_their_indexes() -> None:
    task, followed = TaskFactory(), TaskFactory()
    other_listener = ScheduleFactory(task=task, kind="event", expression="topic.number", next_fire_at=None)
    copies_of(other_listener, HOW_MANY, expression="expression || '-' || n")
    copies_of(ScheduleFactory(task=task), HOW_MANY)
    listener = ScheduleFactory(task=task, kind="event", expression="*.b.**", next_fire_at=None)
    later = database_now() + timedelta(days=1)
    copies_of(ScheduleFactory(task=task, state="paused", paused_until=later), HOW_MANY)
    copies_of(TaskFactory(state="paused", paused_at=database_now(), paused_until=later), HOW_MANY, key="key || n")
    follower = ScheduleFactory(task=task, kind="after", expression="end", after_task=followed, next_fire_at=None)
    run = start_run(actor=ACTOR, task=followed)
    RunEnd.objects.bulk_create(RunEnd(run_id=run.pk, task_id=followed.pk) for _ in range(HOW_MANY))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) scheduling_task, scheduling_schedule, scheduling_runend")
    assert len(patterns_of(LONG_TOPIC)) > 400

    listeners = plans_of(lambda: publish(actor=ACTOR, topic=LONG_TOPIC))
    end(run)
    followers = plans_of(lambda: act_on_run_ends(batch=1))

    assert Run.objects.filter(schedule=listener).count() == 1
    assert Run.objects.filter(schedule=follower).count() == 1
    for plan in (listeners, followers):
        assert "Seq Scan on scheduling_schedule" not in plan, plan
        assert "Seq Scan on scheduling_task" not in plan, plan
        assert "Seq Scan on scheduling_runend" not in plan, plan
    assert "schedule_event_idx" in listeners
    assert "schedule_snoozed_until_idx" in listeners
    assert "task_snoozed_until_idx" in listeners
    assert "schedule_after_idx" in followers
    assert "scheduling_runend_pkey" in followers


def test_publishing_costs_a_fixed_number_of_queries_whoever_listens(django_assert_max_num_queries: Any) -> None:
    """Each run that starts is counted on its schedule; beyond that nothing is asked for each."""
    counts = []
    for listeners in (1, 21):
        Schedule.objects.all().delete()
        for _ in range(listeners):
            ScheduleFactory(kind="event", expression="order.paid", next_fire_at=None)
        with django_assert_max_num_queries(60) as asked, transaction.atomic():
            assert len(publish(actor=ACTOR, topic="order.paid").run_ids) == listeners
        counts.append(len(asked))

    assert counts[1] - counts[0] == 20
