"""What somebody holds, and what is late, delays nobody who needs neither."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from scheduling.clock import firing, lanes
from scheduling.clock.due import read_due
from scheduling.clock.firing import run_pass
from scheduling.clock.isolation import SteppedOver
from scheduling.clock.loop import Clock
from scheduling.models import Run, Schedule, Task
from scheduling.schedules.models import ScheduleState
from tests.factories import AgentFactory, ScheduleFactory, TaskFactory
from tests.population import copies_of
from tests.races.test_clock_contention import somebody_holds
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)


@contextmanager
def running() -> Iterator[Clock]:
    """A clock in a thread of its own."""
    clock = Clock()

    def run() -> None:
        try:
            clock.run()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield clock
    finally:
        clock.stop()
        thread.join(30)


def each_second(task: Task, *, since: timedelta = timedelta()) -> Schedule:
    at = datetime.now(UTC).replace(microsecond=0) - since
    return ScheduleFactory(
        task=task, kind="interval", expression="PT1S", starts_at=at.replace(tzinfo=None), next_fire_at=at
    )


def lateness(schedule: Schedule, since: datetime) -> list[float]:
    """How long after its instant each run of it was queued, in seconds, from the first that was due after `since`."""
    runs = (
        Run.objects.filter(schedule=schedule, scheduled_for__gte=since)
        .order_by("scheduled_for")
        .values_list("created_at", "scheduled_for")
    )
    return [(created_at - scheduled_for).total_seconds() for created_at, scheduled_for in runs if scheduled_for]


def wait_for_four(*schedules: Schedule, since: datetime) -> list[list[float]]:
    """The lateness of each, when each has had four runs that were due after `since`."""

    def seen() -> list[list[float]] | None:
        each = [lateness(schedule, since) for schedule in schedules]
        return each if min(map(len, each)) >= 4 else None

    return wait_until(seen, what="four runs of each", timeout=6)


def held_tasks(how_many: int, **values: Any) -> list[Task]:
    agent = AgentFactory()
    return [TaskFactory(agent=agent, **values) for _ in range(how_many)]


@contextmanager
def somebody_holds_all(tasks: list[Task]) -> Iterator[None]:
    with somebody_holds(
        "SELECT 1 FROM scheduling_task WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [task.pk for task in tasks]
    ):
        yield


@contextmanager
def somebody_holds_their_keys(tasks: list[Task]) -> Iterator[None]:
    with somebody_holds(
        "INSERT INTO scheduling_dedupekey (task_id, key, run_id, expires_at)"
        " SELECT id, 'one', id, now() FROM unnest(%s::uuid[]) AS held (id)",
        [task.pk for task in tasks],
    ):
        yield


KEYED = {"dedupe_key": "one", "dedupe_window": SECOND}


@pytest.mark.parametrize(
    ("how_many", "values", "hold"),
    [
        (40, {"overlap": "queue_all"}, somebody_holds_all),
        (150, {"overlap": "queue_all"}, somebody_holds_all),
        (40, {"overlap": "cancel_running"}, somebody_holds_all),
        (40, KEYED, somebody_holds_their_keys),
        (150, {"overlap": "skip", **KEYED}, somebody_holds_their_keys),
    ],
    ids=["40-tasks", "150-tasks", "40-that-cancel", "40-keys", "150-keys"],
)
def test_a_transaction_that_holds_many_tasks_delays_no_schedule_of_others(
    how_many: int, values: dict[str, Any], hold: Callable[[list[Task]], Any]
) -> None:
    held = held_tasks(how_many, **values)
    theirs = [each_second(task) for task in held]
    live, late, exclusive = TaskFactory(), TaskFactory(), TaskFactory(overlap="queue_all")
    others = [each_second(live), each_second(late, since=SECOND * 3), each_second(exclusive)]

    with hold(held), running() as clock:
        began = datetime.now(UTC)
        queued = wait_for_four(*others, since=began)
        assert clock.readiness.is_ready
        assert not Run.objects.filter(task__in=held).exists()
        assert max(max(each) for each in queued) < 1.5, queued
    with running():
        wait_until(
            lambda: Run.objects.filter(task__in=held).values("task").distinct().count() == how_many,
            what="all of them to fire",
            timeout=20,
        )
    assert {schedule.state for schedule in Schedule.objects.filter(pk__in=[each.pk for each in theirs])} == {
        ScheduleState.ACTIVE
    }


@pytest.mark.parametrize(
    ("values", "hold"),
    [({"overlap": "skip"}, somebody_holds_all), (KEYED, somebody_holds_their_keys)],
    ids=["tasks", "keys"],
)
def test_more_that_is_held_than_a_batch_takes_delays_no_schedule_of_others(
    values: dict[str, Any], hold: Callable[[list[Task]], Any]
) -> None:
    first = TaskFactory(key="held", **values)
    copies_of(first, 3400, key="'held-' || n")
    held = list(Task.objects.filter(key__startswith="held").only("pk"))
    copies_of(each_second(first), 3400, task_id="(SELECT id FROM scheduling_task WHERE key = 'held-' || n)")
    live = each_second(TaskFactory(), since=-SECOND)

    with hold(held), running() as clock:
        wait_until(lambda: Run.objects.filter(schedule=live).count() >= 4, what="four runs", timeout=60)
        assert clock.readiness.is_ready
        assert not Run.objects.filter(task__in=held).exists()

    assert max(lateness(live, datetime.now(UTC) - SECOND * 60)) < 4


def test_what_was_held_fires_soon_after_the_unlock() -> None:
    held = held_tasks(150, overlap="queue_all")
    for task in held:
        each_second(task)
    live = each_second(TaskFactory())

    with running():
        with somebody_holds_all(held):
            wait_for_four(live, since=datetime.now(UTC))
        unlocked = time.monotonic()
        wait_until(
            lambda: Run.objects.filter(task__in=held).values("task").distinct().count() == len(held),
            what="all of them to fire",
            timeout=10,
        )

    assert time.monotonic() - unlocked < 4


def test_one_second_late_a_schedule_that_locks_nothing_shares_no_transaction_with_what_is_held(
    settings: Any,
) -> None:
    settings.ORDINAUT_CLOCK_LOCK_TIMEOUT = timedelta(seconds=10)
    held = held_tasks(40, overlap="queue_all")
    for task in held:
        each_second(task, since=SECOND)
    free = each_second(TaskFactory(), since=SECOND * 3)
    stepped_over = SteppedOver()

    began = time.monotonic()
    with somebody_holds_all(held):
        result = run_pass(stepped_over=stepped_over)
        took = time.monotonic() - began
        again = run_pass(stepped_over=stepped_over)

    assert (result.stepped_over, again.stepped_over) == (40, 0)
    assert Run.objects.filter(schedule=free).exists()
    assert took < 1.5


def test_a_task_that_is_held_for_a_moment_only_fires_in_the_same_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    task = TaskFactory(overlap="queue_all")
    at = datetime.now(UTC)
    ScheduleFactory(task=task, kind="once", expression=at.isoformat(), next_fire_at=at)

    ways: list[bool] = []
    fire = firing.fire

    def noted(planned: Any, *, is_patient: bool = False) -> Any:
        ways.append(is_patient)
        if is_patient:
            other.rollback()
        return fire(planned, is_patient=is_patient)

    monkeypatch.setattr(firing, "fire", noted)
    with somebody_holds("SELECT 1 FROM scheduling_task WHERE id = %s FOR UPDATE", task.pk) as other:
        result = run_pass()

    assert ways == [True]  # passed over by the statement for lone starts, then waited for
    assert (result.runs, result.stepped_over) == (1, 0)


def test_suspects_take_no_more_than_their_time_of_a_pass_and_all_have_their_turn() -> None:
    held = held_tasks(40, **KEYED)
    for task in held:
        each_second(task)
    now = [0.0]
    stepped_over = SteppedOver(now=lambda: now[0])
    with somebody_holds_their_keys(held):
        run_pass(stepped_over=stepped_over)
        now[0] += 2

        began = time.monotonic()
        result = run_pass(stepped_over=stepped_over)

        assert time.monotonic() - began < 1.5
        assert result.stepped_over == 40
        assert set(stepped_over.now()) == {task.pk for task in held}, "what stands behind them is read next"
        tried = {task.pk for task in held if stepped_over.tried_at(task.pk) == now[0]}
        assert 0 < len(tried) < 40
        now[0] += 1.5
        run_pass(stepped_over=stepped_over)
        next_tried = {task.pk for task in held if stepped_over.tried_at(task.pk) == now[0]}
        assert next_tried
        assert not next_tried & tried


def test_a_suspect_that_is_free_fires_though_the_search_among_the_others_was_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "GIVE_UP_AFTER", 0.0)
    innocent, *held = held_tasks(5, **KEYED)
    schedule = each_second(innocent)
    now = [0.0]
    stepped_over = SteppedOver(now=lambda: now[0])
    stepped_over.add([innocent.pk])
    now[0] += 1.5
    for task in held:
        each_second(task)

    with somebody_holds_their_keys(held):
        result = run_pass(stepped_over=stepped_over)

    assert (result.stepped_over, set(stepped_over.now())) == (4, {task.pk for task in held})
    assert Run.objects.filter(schedule=schedule).exists()


def test_a_backlog_that_is_dear_to_plan_does_not_delay_what_is_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = firing.plan_schedule

    def dear(schedule: Any) -> Any:
        if schedule.jitter:
            time.sleep(0.05)
        return plan(schedule)

    monkeypatch.setattr(firing, "plan_schedule", dear)
    task = TaskFactory()
    long_ago = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
    Schedule.objects.bulk_create(
        ScheduleFactory.build(
            task=task, expression="0 * * * *", jitter=timedelta(seconds=5), next_fire_at=long_ago, misfire_policy="last"
        )
        for _ in range(150)
    )
    live = each_second(TaskFactory())

    with running():
        [queued] = wait_for_four(live, since=datetime.now(UTC))
        wait_until(lambda: Run.objects.filter(task=task).count() > 20, what="the backlog to have its share", timeout=1)

    assert max(queued) < 2, queued


def test_what_is_on_time_fires_though_a_backlog_fills_the_batch() -> None:
    task = TaskFactory()
    for hours in range(20):
        ScheduleFactory(task=task, next_fire_at=datetime.now(UTC) - timedelta(hours=2 + hours))
    at = datetime.now(UTC)
    live = ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)

    first = run_pass(batch=10)

    assert Run.objects.filter(schedule=live).exists()
    assert (first.schedules, first.is_full) == (11, True)
    assert Schedule.objects.filter(task=task, next_fire_at__lt=at).count() == 10


def test_a_pass_reads_once_where_nothing_is_old_or_the_batch_is_not_full(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[dict[str, Any]] = []

    def noted(**arguments: Any) -> Any:
        reads.append(arguments)
        return read_due(**arguments)

    monkeypatch.setattr(firing, "read_due", noted)
    at = datetime.now(UTC)
    for _ in range(3):
        ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
    ScheduleFactory(next_fire_at=at - timedelta(days=1))

    run_pass(batch=100)
    for _ in range(3):
        ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
    run_pass(batch=3)
    run_pass(batch=3)

    assert len(reads) == 3
