"""Clocks side by side: they read different parts of a long queue, and what one has fired voids the other's plans."""

import random
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import Count

from scheduling.clock import at_once
from scheduling.clock.due import MOST_PLACES, Share
from scheduling.clock.firing import run_pass
from scheduling.clock.planned import PassResult
from scheduling.models import DueWork, Run, Schedule
from scheduling.runs import plain
from tests.factories import ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
HOW_MANY = 2000


def make_due(how_many: int) -> None:
    task = TaskFactory()
    Schedule.objects.bulk_create(
        ScheduleFactory.build(task=task, expression="0 9 * * *", next_fire_at=NINE) for _ in range(how_many)
    )


def test_a_clock_that_lost_its_plans_looks_further_back_and_returns_when_it_is_alone() -> None:
    share = Share(random.Random(7))
    assert (share.batches_to_skip(), share.is_contested) == (0, False)

    for _ in range(10):
        share.note(lost=5)
    places = {share.batches_to_skip() for _ in range(1000)}
    assert places == set(range(MOST_PLACES))

    for _ in range(10):
        share.note(lost=0)
    assert (share.batches_to_skip(), share.is_contested) == (0, False)


def test_a_contested_clock_passes_over_what_another_one_is_firing(monkeypatch: pytest.MonkeyPatch) -> None:
    make_due(100)
    contested = Share(random.Random(7))
    contested.note(lost=1)
    monkeypatch.setattr(contested, "batches_to_skip", lambda: 0)
    results: list[PassResult] = []

    def pass_elsewhere() -> None:
        try:
            results.append(run_pass(now=NINE, batch=50, share=contested))
        finally:
            connection.close()

    fire_plain = plain.fire_plain

    def fire_while_another_passes(cursor, starts, **how):
        fired = fire_plain(cursor, starts, **how)
        if not results:
            monkeypatch.setattr(at_once, "fire_plain", fire_plain)
            thread = threading.Thread(target=pass_elsewhere)
            thread.start()
            thread.join(30)
        return fired

    monkeypatch.setattr(at_once, "fire_plain", fire_while_another_passes)
    first = run_pass(now=NINE, batch=50)

    (second,) = results
    assert (first.runs, second.runs) == (50, 50)
    assert (first.lost, second.lost) == (0, 0)


def test_two_clocks_share_a_burst_without_a_duplicate() -> None:
    make_due(HOW_MANY)
    results: list[list[PassResult]] = [[], []]
    begin = threading.Barrier(2)

    def clock(number: int) -> None:
        share = Share(random.Random(number))
        begin.wait(10)
        try:
            while not results[number] or results[number][-1].is_full:
                results[number].append(run_pass(now=NINE + timedelta(seconds=1), batch=100, share=share))
        finally:
            connection.close()

    threads = [threading.Thread(target=clock, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    runs_by_clock = [sum(result.runs for result in each) for each in results]
    assert sum(runs_by_clock) == HOW_MANY == Run.objects.count() == DueWork.objects.count()
    assert not Run.objects.values("schedule_id").annotate(n=Count("id")).filter(n__gt=1)
    assert min(runs_by_clock) > HOW_MANY // 10, f"one clock did nearly everything: {runs_by_clock}"
