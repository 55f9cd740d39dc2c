"""Several clocks over schedules that have few runs left: together they make no more than those."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import Count

from scheduling.clock.firing import run_pass
from scheduling.models import Run, Schedule
from scheduling.schedules.models import ScheduleState
from tests.factories import ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)


def test_two_clocks_make_no_more_runs_than_a_schedule_may_have() -> None:
    task = TaskFactory()
    for _ in range(30):
        ScheduleFactory(task=task, expression="* * * * *", next_fire_at=NINE, max_occurrences=5, misfire_policy="all")
    barrier = threading.Barrier(2)

    def run_clock() -> None:
        try:
            for minute in range(8):
                barrier.wait(timeout=30)
                run_pass(now=NINE + timedelta(minutes=minute))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as clocks:
        for ended in [clocks.submit(run_clock) for _ in range(2)]:
            ended.result()
    run_pass(now=NINE + timedelta(minutes=9))

    counts = Run.objects.values("schedule_id").annotate(runs=Count("id")).values_list("runs", flat=True)
    assert list(counts) == [5] * 30
    assert set(Schedule.objects.values_list("state", "fired_count")) == {(ScheduleState.COMPLETED, 5)}
