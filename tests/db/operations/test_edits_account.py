"""What an edit must not lose, forget or let through."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduling.audit.operations import Actor
from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from scheduling.core.recurrence.spacing import comes_closer
from scheduling.instants import database_now
from scheduling.models import DueWork, Miss, Run, Schedule
from scheduling.runs.operations import start_run
from scheduling.runs.states import RunState, SkipReason
from scheduling.schedules.operations import add_schedule, pause_schedule, update_schedule
from scheduling.tasks.operations import update_task
from tests.factories import DueWorkFactory, RunFactory, TaskFactory

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("tests")


def hourly(**fields: Any) -> Schedule:
    """Every hour, and five of its occurrences have passed without a clock."""
    schedule = add_schedule(
        actor=ACTOR,
        task=TaskFactory(),
        definition={"kind": "interval", "expression": "PT1H", "starts_at": "2026-01-01T00:00:00", **fields},
    )
    mark = database_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)
    Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=mark)
    schedule.refresh_from_db()
    return schedule


@pytest.mark.parametrize(("is_paused", "reason"), [(False, "edited"), (True, "paused")])
def test_an_edit_of_the_rule_counts_what_was_due(is_paused: bool, reason: str) -> None:
    schedule = hourly()
    if is_paused:
        pause_schedule(actor=ACTOR, schedule=schedule)

    changed = update_schedule(actor=ACTOR, schedule=schedule, changes={"ends_at": "2099-01-01T00:00:00Z"})

    miss = Miss.objects.get()
    assert (miss.count, miss.reason, changed.missed_count) == (5, reason, 5)
    assert changed.next_fire_at is not None
    assert changed.next_fire_at > miss.last_at


def test_an_edit_of_another_field_leaves_what_is_due_to_the_clock() -> None:
    schedule = hourly()

    changed = update_schedule(actor=ACTOR, schedule=schedule, changes={"jitter": "PT5S"})

    assert changed.next_fire_at == schedule.next_fire_at
    assert not Miss.objects.exists()


def test_an_anchor_that_is_taken_back_is_the_day_of_creation() -> None:
    schedule = hourly()
    Schedule.objects.filter(pk=schedule.pk).update(created_at=datetime(2026, 3, 4, 5, tzinfo=UTC))

    changed = update_schedule(actor=ACTOR, schedule=schedule, changes={"starts_at": None})

    assert changed.starts_at == datetime(2026, 3, 4)


@pytest.mark.parametrize(("overlap", "waiting", "skipped"), [("queue_all", 2, 0), ("queue_one", 1, 1), ("skip", 0, 2)])
def test_a_policy_that_comes_late_holds_for_what_is_queued(overlap: str, waiting: int, skipped: int) -> None:
    task = TaskFactory()
    runs = [start_run(actor=ACTOR, task=task) for _ in range(3)]

    update_task(actor=ACTOR, task=task, changes={"overlap": overlap})

    free = DueWork.objects.filter(task=task, gate=None)
    assert [work.run_id for work in free] == [runs[0].pk]
    assert DueWork.objects.filter(task=task, gate="overlap").count() == waiting
    dropped = Run.objects.filter(task=task, state=RunState.SKIPPED, skip_reason=SkipReason.OVERLAP)
    assert dropped.count() == skipped


def test_a_policy_that_comes_late_lets_nothing_start_beside_what_runs() -> None:
    task = TaskFactory()
    DueWorkFactory(
        run=RunFactory(task=task),
        lease_owner="01a213e3-a378-7107-b614-aa72fe545777",
        lease_epoch=1,
        claimed_at=database_now(),
    )
    start_run(actor=ACTOR, task=task)

    update_task(actor=ACTOR, task=task, changes={"overlap": "queue_all"})

    assert not DueWork.objects.filter(task=task, gate=None, lease_owner=None).exists()


@pytest.mark.parametrize(
    ("kind", "expression", "starts_at"),
    [("interval", "PT1S", datetime(2099, 1, 1)), ("cron", "* * 29 2 *", datetime(2026, 1, 1))],
)
def test_what_begins_in_years_is_looked_at_from_then_on(kind: str, expression: str, starts_at: datetime) -> None:
    recurrence = compile_rule(Rule(kind=kind, expression=expression, starts_at=starts_at))

    found = comes_closer(recurrence, than=timedelta(hours=1), after=datetime(2026, 11, 25, tzinfo=UTC))

    assert found is not None


def test_the_end_of_the_calendar_is_the_end_of_an_interval() -> None:
    recurrence = compile_rule(Rule(kind="interval", expression="P36525D", starts_at=datetime(9899, 12, 31, 23, 59)))

    first = recurrence.next_after(datetime(2026, 1, 1, tzinfo=UTC))

    assert first is not None
    assert recurrence.next_after(first) is None


def test_a_position_that_no_period_has_is_refused() -> None:
    with pytest.raises(ScheduleError) as refused:
        compile_rule(
            Rule(
                kind="rrule",
                expression="FREQ=DAILY;INTERVAL=13;BYMONTHDAY=26,2;BYSETPOS=-4;COUNT=10",
                starts_at=datetime(2022, 10, 10, 20, 44, 48),
            )
        )

    assert refused.value.code == "never_occurs"
