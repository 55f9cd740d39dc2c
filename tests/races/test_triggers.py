"""What happens and what changes meanwhile: publishers, operators, consumers of ends, each on its own connection."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.audit.models import AuditEntry
from scheduling.clock.loop import Clock
from scheduling.events.models import Event
from scheduling.events.operations import publish
from scheduling.models import DueWork, Run, RunEnd, Schedule
from scheduling.runs.operations import start_run
from scheduling.runs.states import RunState, SkipReason
from scheduling.schedules.models import ScheduleState
from scheduling.schedules.operations import pause_schedule, update_schedule
from scheduling.tasks.models import TaskState
from scheduling.tasks.operations import pause_task, resume_task
from scheduling.triggers.run_ends import RunEnds, act_on_run_ends
from tests.db.api.gateway import gateway_of
from tests.db.triggers.conftest import ACTOR, end, follow, listen
from tests.db.triggers.test_conditions import fired, tick
from tests.db.triggers.test_conditions import watch as watch_condition
from tests.factories import TaskFactory
from tests.invariants import broken_invariants
from tests.races.test_clock_contention import somebody_holds
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def beside(work: Callable[[], Any]) -> Future[Any]:
    """The work, begun on a connection of its own."""
    thread = ThreadPoolExecutor(1)
    begun = thread.submit(_and_close, work)
    thread.shutdown(wait=False)
    return begun


def _and_close(work: Callable[[], Any]) -> Any:
    try:
        return work()
    finally:
        connection.close()


def somebody_waits_for_us() -> bool:
    """True when another session waits for a lock of this test's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0] > 0)


def tell() -> list[Any]:
    return publish(actor=ACTOR, topic="order.paid", payload={"total": 1}).run_ids


def together(*works: Callable[[], Any]) -> list[Any]:
    """The results of works that begin at one moment, each on its own connection."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], Any]) -> Any:
        barrier.wait(timeout=30)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return [future.result() for future in [threads.submit(_and_close, partial(begin, work)) for work in works]]


@pytest.mark.parametrize(
    "stop",
    [
        lambda schedule: pause_schedule(actor=ACTOR, schedule=schedule),
        lambda schedule: pause_task(actor=ACTOR, task=schedule.task),
        lambda schedule: update_schedule(actor=ACTOR, schedule=schedule, changes={"expression": "order.sent"}),
        lambda schedule: update_schedule(
            actor=ACTOR, schedule=schedule, changes={"filter": "event.payload.total > `1`"}
        ),
    ],
    ids=["pause the schedule", "pause the task", "listen to something else", "filter it out"],
)
@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_an_event_that_comes_while_a_schedule_is_stopped_starts_nothing(stop: Any, overlap: str) -> None:
    schedule = listen(task=TaskFactory(overlap=overlap))

    with transaction.atomic():
        stop(schedule)
        publisher = beside(tell)
        wait_until(somebody_waits_for_us, what="the publisher to wait for the schedule")

    assert publisher.result(20) == []
    assert not Run.objects.exists()
    assert Event.objects.count() == 1


def test_a_schedule_that_is_paused_while_an_event_is_published_has_fired_before() -> None:
    schedule = listen()

    with transaction.atomic():
        started = tell()
        operator = beside(lambda: pause_schedule(actor=ACTOR, schedule=Schedule.objects.get()))
        wait_until(somebody_waits_for_us, what="the operator to wait for the schedule")
    operator.result(20)

    schedule.refresh_from_db()
    assert (schedule.state, schedule.fired_count, len(started)) == (ScheduleState.PAUSED, 1, 1)
    assert Run.objects.get().state == RunState.QUEUED
    assert tell() == []


def test_a_schedule_that_is_deleted_while_an_event_is_published_starts_nothing() -> None:
    listen()

    with transaction.atomic():
        Schedule.objects.all().delete()
        publisher = beside(tell)
        wait_until(somebody_waits_for_us, what="the publisher to wait for the schedule")

    assert publisher.result(20) == []
    assert not Run.objects.exists()


def test_two_publishers_make_no_more_runs_than_a_schedule_may_have() -> None:
    schedule = listen(max_occurrences=5)

    results = together(*[lambda: [run for _ in range(5) for run in tell()]] * 2)

    schedule.refresh_from_db()
    assert sum(len(runs) for runs in results) == Run.objects.count() == 5
    assert (schedule.state, schedule.fired_count) == (ScheduleState.COMPLETED, 5)
    assert Event.objects.count() == 10


def test_publishers_under_skip_have_one_live_run_and_count_the_others() -> None:
    schedule = listen(task=TaskFactory(overlap="skip"))

    results = together(*[tell] * 4)

    schedule.refresh_from_db()
    assert sum(len(runs) for runs in results) == DueWork.objects.count() == 1
    assert Run.objects.filter(skip_reason=SkipReason.OVERLAP).count() == 3
    assert (schedule.fired_count, schedule.skipped_count) == (1, 3)
    assert broken_invariants() == {}


def test_publishers_whose_listeners_overlap_do_not_lock_each_other_out() -> None:
    """Each fires exclusive and other tasks, in the order of their ids, whatever the order of the schedules."""
    tasks = [TaskFactory(overlap=overlap) for overlap in ("skip", "allow", "queue_all", "skip")]
    for task in reversed(tasks):
        listen("order.*", task=task)
        listen("**", task=task)

    together(*[lambda: [tell() for _ in range(8)]] * 3)

    assert Event.objects.count() == 24
    assert Run.objects.count() == 24 * 8
    assert sum(Schedule.objects.values_list("fired_count", flat=True)) == Run.objects.exclude(state="skipped").count()
    assert broken_invariants() == {}


def test_one_request_that_is_sent_twice_at_once_publishes_once() -> None:
    listen()
    api = gateway_of()

    def send() -> Any:
        return api.post("events", {"topic": "order.paid"}, headers={"Idempotency-Key": "order-7"})

    answers = together(send, send)

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content
    assert (Event.objects.count(), Run.objects.count()) == (1, 1)


def test_two_consumers_act_on_each_end_once() -> None:
    followed = [TaskFactory() for _ in range(3)]
    schedules = [follow(task) for task in followed]
    runs = [start_run(actor=ACTOR, task=task) for task in followed for _ in range(20)]
    for run in runs:
        end(run)
    assert RunEnd.objects.count() == 60

    taken = together(act_on_run_ends, act_on_run_ends)

    assert sum(taken) == 60
    assert not RunEnd.objects.exists()
    assert Counter(Run.objects.filter(trigger_kind="after").values_list("schedule_id", flat=True)) == {
        schedule.pk: 20 for schedule in schedules
    }
    assert set(Schedule.objects.values_list("fired_count", flat=True)) == {20}


def test_an_end_that_another_is_acting_on_is_left_to_it() -> None:
    followed = TaskFactory()
    follow(followed)
    end(start_run(actor=ACTOR, task=followed))

    with transaction.atomic():
        act_on_run_ends()
        other = beside(act_on_run_ends)

        assert other.result(20) == 0
        transaction.set_rollback(True)
    assert act_on_run_ends() == 1
    assert Run.objects.filter(trigger_kind="after").count() == 1


def test_a_follower_that_is_paused_while_its_end_is_acted_on_is_left_alone() -> None:
    followed = TaskFactory()
    schedule = follow(followed)
    end(start_run(actor=ACTOR, task=followed))

    with transaction.atomic():
        pause_schedule(actor=ACTOR, schedule=schedule)
        clock = beside(act_on_run_ends)
        wait_until(somebody_waits_for_us, what="the clock to wait for the follower")

    assert clock.result(20) == 1
    assert not Run.objects.filter(trigger_kind="after").exists()


def test_tasks_that_follow_each_other_and_both_fail_do_not_lock_each_other_out() -> None:
    """Each end holds its follower's task and pauses its own task: in the order of both at once, a deadlock."""
    first = TaskFactory(overlap="queue_all", pause_after_failures=2)
    second = TaskFactory(overlap="queue_all", pause_after_failures=2, agent=first.agent)
    follow(first, "failure", task=second)
    follow(second, "failure", task=first)

    for _ in range(10):
        runs = [start_run(actor=ACTOR, task=task) for task in (first, second)]
        for run in [*runs, *Run.objects.filter(trigger_kind="after", state=RunState.QUEUED)]:
            end(run, RunState.FAILED)
        together(act_on_run_ends, act_on_run_ends)
        act_on_run_ends()

        first.refresh_from_db()
        second.refresh_from_db()
        if first.state == second.state == TaskState.PAUSED:
            break

    assert (first.state, second.state) == (TaskState.PAUSED, TaskState.PAUSED)
    assert not RunEnd.objects.exists()


def test_two_failures_at_once_pause_a_task_once() -> None:
    task = TaskFactory(pause_after_failures=2)
    for _ in range(6):
        end(start_run(actor=ACTOR, task=task), RunState.FAILED)

    together(act_on_run_ends, act_on_run_ends)

    task.refresh_from_db()
    assert task.state == TaskState.PAUSED
    assert task.pause_reason.startswith("2 runs in a row have failed")
    assert AuditEntry.objects.filter(action="task.pause").count() == 1
    assert not RunEnd.objects.exists()


def test_a_task_that_an_operator_pauses_meanwhile_keeps_the_operators_reason() -> None:
    task = TaskFactory(pause_after_failures=1)
    end(start_run(actor=ACTOR, task=task), RunState.FAILED)

    with transaction.atomic():
        pause_task(actor=ACTOR, task=task, reason="a holiday")
        clock = beside(act_on_run_ends)
        wait_until(somebody_waits_for_us, what="the clock to wait for the task")

    assert clock.result(20) == 1
    task.refresh_from_db()
    assert (task.state, task.pause_reason) == (TaskState.PAUSED, "a holiday")


def test_a_task_that_is_resumed_meanwhile_is_not_paused_for_what_failed_before() -> None:
    task = TaskFactory(pause_after_failures=1)
    end(start_run(actor=ACTOR, task=task), RunState.FAILED)
    pause_task(actor=ACTOR, task=task)

    with transaction.atomic():
        resume_task(actor=ACTOR, task=task)
        clock = beside(act_on_run_ends)
        wait_until(somebody_waits_for_us, what="the clock to wait for the task")

    assert clock.result(20) == 1
    task.refresh_from_db()
    assert task.state == TaskState.ACTIVE


def test_a_check_whose_condition_is_paused_meanwhile_fires_nothing() -> None:
    schedule = watch_condition()
    end(tick(schedule), output={"met": True})

    with transaction.atomic():
        pause_schedule(actor=ACTOR, schedule=schedule)
        clock = beside(act_on_run_ends)
        wait_until(somebody_waits_for_us, what="the clock to wait for the condition")

    assert clock.result(20) == 1
    schedule.refresh_from_db()
    assert (schedule.condition_met, fired(schedule)) == (None, [])


def test_a_follower_that_somebody_holds_does_not_hold_up_the_others(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_LOCK_TIMEOUT = timedelta(milliseconds=100)
    held, free = TaskFactory(overlap="skip"), TaskFactory()
    of_held, of_free = TaskFactory(agent=held.agent), TaskFactory(agent=free.agent)
    follow(of_held, task=held)
    schedule = follow(of_free, task=free)
    for task in (of_held, of_free):
        end(start_run(actor=ACTOR, task=task))
    clock = Clock()

    with somebody_holds("SELECT 1 FROM scheduling_task WHERE id = %s FOR UPDATE", held.pk):
        clock._act_on_run_ends()
        assert Run.objects.filter(schedule=schedule).count() == 1
        assert RunEnd.objects.count() == 1


def test_ends_whose_follower_somebody_holds_hide_no_end_of_another_task() -> None:
    held = [TaskFactory(overlap="queue_all") for _ in range(20)]
    followed = [TaskFactory(agent=task.agent) for task in held]
    free = TaskFactory()
    of_free = TaskFactory(agent=free.agent)
    for task, follower in zip(followed, held, strict=True):
        follow(task, task=follower)
    schedule = follow(of_free, task=free)
    for task in [*followed * 5, of_free]:
        end(start_run(actor=ACTOR, task=task))
    ends = RunEnds()

    with somebody_holds(
        "SELECT 1 FROM scheduling_task WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [task.pk for task in held]
    ):
        began = time.monotonic()
        done = ends.act()
        took = time.monotonic() - began
        again = ends.act()

    assert (done, again) == (1, 0)
    assert took < 1.5
    assert Run.objects.filter(schedule=schedule).count() == 1
    assert RunEnd.objects.count() == 100
    assert act_on_run_ends() == 100
    assert Run.objects.filter(trigger_kind="after").count() == 101


def test_publishing_while_somebody_holds_a_listener_ends_soon_stores_nothing_and_may_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scheduling.triggers.events.WAIT_FOR_LISTENERS", 200)
    for overlap in ("allow", "allow", "skip"):
        listen(task=TaskFactory(overlap=overlap))
    api = gateway_of()

    def send() -> Any:
        return api.post("events", {"topic": "order.paid"}, headers={"Idempotency-Key": "order-7"})

    for statement in (
        "SELECT 1 FROM scheduling_schedule WHERE id = %s FOR UPDATE",
        "SELECT 1 FROM scheduling_task WHERE id = (SELECT task_id FROM scheduling_schedule WHERE id = %s) FOR UPDATE",
    ):
        held = listen(task=TaskFactory(overlap="queue_all"))
        with somebody_holds(statement, held.pk):
            began = time.monotonic()
            answer = send()
            took = time.monotonic() - began

        assert (answer.status_code, answer.json()["code"]) == (409, "listener_held")
        assert "again" in answer.json()["hint"]
        assert took < 2
        assert (Event.objects.count(), Run.objects.count()) == (0, 0)

    assert send().status_code == 202
    assert Run.objects.count() == 5


def test_publishing_keeps_a_shorter_limit_and_leaves_none_behind() -> None:
    listen()
    with transaction.atomic(), connection.cursor() as cursor:
        for before in ("100ms", "0", "1min"):
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
            publish(actor=ACTOR, topic="order.paid")
            cursor.execute("SELECT current_setting('lock_timeout')")
            assert cursor.fetchone() == (before,)
