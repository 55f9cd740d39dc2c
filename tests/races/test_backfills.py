"""Clocks that move one backfill at once, and a backfill beside live firing."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from scheduling.audit.operations import Actor
from scheduling.backfills.models import Backfill, BackfillState
from scheduling.backfills.operations import cancel_backfill
from scheduling.backfills.pacing import BackfillPacer, TurnResult, advance, plan_slice, read_running
from scheduling.clock.firing import run_pass
from scheduling.models import DueWork, Run
from scheduling.runs.admission import Start, admit
from scheduling.runs.states import Gate, RunState, TriggerKind
from scheduling.tasks.operations import pause_task
from tests.factories import BackfillFactory, ScheduleFactory, TaskFactory
from tests.races.test_starts import somebody_waits_for_us
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

FAR = datetime(2100, 1, 1, 9, tzinfo=UTC)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def turn_elsewhere() -> TurnResult:
    """A turn of another clock, which has to come back although this test's transaction is open."""
    results: list[TurnResult] = []
    thread = in_thread(lambda: results.append(BackfillPacer().turn()))
    thread.join(10)
    assert not thread.is_alive(), "the other clock waits"
    return results[0]


def exclusive_backfill(overlap: str) -> Backfill:
    task = TaskFactory(overlap=overlap)
    schedule = ScheduleFactory(task=task, expression="0 9 * * *", next_fire_at=FAR)
    return BackfillFactory(schedule=schedule, overlap="queue_all")


def test_a_clock_passes_over_a_backfill_that_another_moves_on() -> None:
    backfill = BackfillFactory(max_active=2)
    (read,) = read_running()

    with transaction.atomic():
        mine = advance(read, plan_slice(read))
        others = turn_elsewhere()

    assert (mine.started, others.started) == (2, 0)
    assert Run.objects.filter(backfill=backfill).count() == 2


def test_a_backfill_that_is_to_end_and_that_somebody_holds_delays_no_clock() -> None:
    backfill = BackfillFactory()
    backfill.rule["timezone"] = "Mars/Olympus"
    backfill.save()

    with transaction.atomic():
        Backfill.objects.select_for_update(no_key=True).get(pk=backfill.pk)
        others = turn_elsewhere()

    assert others.ended == 0
    assert BackfillPacer().turn().ended == 1


def test_four_clocks_double_nothing_and_keep_the_pace() -> None:
    backfill = BackfillFactory(max_active=3, end_at=datetime(2026, 4, 9, 9, tzinfo=UTC), total_count=40)
    is_over = threading.Event()
    most: list[int] = []

    def clock() -> None:
        pacer = BackfillPacer()
        while not is_over.is_set():
            pacer.turn()

    def workers() -> bool:
        live = list(DueWork.objects.values_list("pk", flat=True))
        most.append(len(live))
        with transaction.atomic():
            DueWork.objects.filter(pk__in=live).delete()
            Run.objects.filter(pk__in=live).update(state=RunState.SUCCEEDED, finished_at=timezone.now())
        return Backfill.objects.get().state == BackfillState.COMPLETED

    clocks = [in_thread(clock) for _ in range(4)]
    try:
        wait_until(workers, timeout=40, what="the backfill to be completed")
    finally:
        is_over.set()
        for each in clocks:
            each.join(10)

    backfill.refresh_from_db()
    doubled = Run.objects.values("scheduled_for").annotate(n=Count("id")).filter(n__gt=1)
    assert (Run.objects.count(), backfill.started_count) == (40, 40)
    assert not doubled.exists()
    assert max(most) == 3


def test_a_backfill_does_not_wait_for_a_live_start_of_its_exclusive_task() -> None:
    backfill = exclusive_backfill("skip")
    start = Start(task_id=backfill.schedule.task_id, trigger_kind=TriggerKind.MANUAL)

    with transaction.atomic(), connection.cursor() as cursor:
        admit(cursor, [start])
        meanwhile = turn_elsewhere()
    afterwards = turn_elsewhere()

    assert (meanwhile.started, afterwards.started) == (0, 0)
    assert DueWork.objects.count() == 1


def test_live_firing_of_an_exclusive_task_sees_the_backfilled_run() -> None:
    backfill = exclusive_backfill("skip")
    due_at = timezone.now().replace(microsecond=0) - timedelta(seconds=1)
    live = ScheduleFactory(task=backfill.schedule.task, kind="once", expression=due_at.isoformat(), next_fire_at=due_at)
    (read,) = read_running()

    with transaction.atomic():
        advance(read, plan_slice(read))
        thread = in_thread(run_pass)
        wait_until(somebody_waits_for_us, what="the live firing to wait for the task")
    thread.join(10)

    held = DueWork.objects.get(run__schedule=live)
    assert DueWork.objects.get(gate=None).run.backfill_id == backfill.pk
    assert held.gate == Gate.OVERLAP


def test_a_pause_that_comes_during_a_turn_holds_what_the_turn_queued() -> None:
    backfill = BackfillFactory()
    (read,) = read_running()

    with transaction.atomic():
        advance(read, plan_slice(read))
        thread = in_thread(lambda: pause_task(actor=Actor.system("tests"), task=backfill.schedule.task))
        wait_until(somebody_waits_for_us, what="the pause to wait for the task")
    thread.join(10)

    assert DueWork.objects.get().gate == "paused"


def test_a_cancellation_that_comes_during_a_turn_reaches_the_run_of_the_turn() -> None:
    backfill = BackfillFactory()
    (read,) = read_running()

    with transaction.atomic():
        advance(read, plan_slice(read))
        thread = in_thread(lambda: cancel_backfill(actor=Actor.system("tests"), backfill=backfill, cancel_runs=True))
        wait_until(somebody_waits_for_us, what="the cancellation to wait for the task")
    thread.join(10)

    assert Run.objects.get().state == RunState.CANCELED
    assert not DueWork.objects.exists()
