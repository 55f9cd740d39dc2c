"""A task gets another policy while it is being started: whichever comes first, the policy holds for the run."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from scheduling.audit.operations import Actor
from scheduling.clock.firing import run_pass
from scheduling.clock.planned import PassResult
from scheduling.models import DueWork, Run, Schedule, Task
from scheduling.runs.admission import Start, admit
from scheduling.runs.operations import retry_run, start_run
from scheduling.runs.states import RunState, TriggerKind
from scheduling.tasks.operations import update_task
from tests.factories import DueWorkFactory, RunFactory, ScheduleFactory, TaskFactory
from tests.invariants import broken_invariants
from tests.races.test_starts import somebody_waits_for_us
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
ACTOR = Actor.system("tests")


def every_second(task: Task) -> Schedule:
    return ScheduleFactory(task=task, kind="interval", expression="PT1S", next_fire_at=NINE)


def beside(work: Callable[[], Any], results: list[Any]) -> threading.Thread:
    def run() -> None:
        try:
            results.append(work())
        except DatabaseError as error:
            results.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def edit(task: Task, **changes: Any) -> Task:
    return update_task(actor=ACTOR, task=task, changes=changes)


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all", "cancel_running"])
def test_a_plain_firing_during_an_edit_of_the_policy_is_left_for_the_next_pass(overlap: str) -> None:
    task = TaskFactory()
    every_second(task)
    DueWorkFactory(run=RunFactory(task=task))
    passes: list[PassResult] = []

    with transaction.atomic():
        edit(task, overlap=overlap)
        beside(lambda: run_pass(now=NINE), passes).join(10)

    assert [result.runs for result in passes] == [0], passes
    run_pass(now=NINE)
    run_pass(now=NINE + timedelta(seconds=1))
    assert broken_invariants() == {}
    assert Run.objects.filter(trigger_kind="schedule", scheduled_for=NINE).count() == 1


def test_an_edit_of_the_policy_waits_for_a_plain_firing_and_holds_for_its_run() -> None:
    task = TaskFactory()
    every_second(task)
    edits: list[Any] = []

    with transaction.atomic():
        assert run_pass(now=NINE).runs == 1
        thread = beside(lambda: edit(task, overlap="skip"), edits)
        wait_until(somebody_waits_for_us, what="the edit to wait for the firing")
    thread.join(10)

    assert [edited.overlap for edited in edits] == ["skip"]
    assert DueWork.objects.get().is_exclusive
    assert run_pass(now=NINE + timedelta(seconds=1)).skipped == 1
    assert broken_invariants() == {}


@pytest.mark.parametrize(
    "keys", [{"concurrency": {"key": "api", "limit": 1}}, {"dedupe": {"key": "one", "window": "PT1H"}}]
)
def test_a_plain_firing_during_an_edit_of_the_keys_heeds_them(keys: dict[str, Any]) -> None:
    task = TaskFactory()
    every_second(task)
    passes: list[PassResult] = []

    with transaction.atomic():
        edit(task, **keys)
        beside(lambda: run_pass(now=NINE), passes).join(10)

    assert [result.runs for result in passes] == [0], passes
    run_pass(now=NINE)
    run_pass(now=NINE + timedelta(seconds=1))
    if "dedupe" in keys:
        assert sorted(Run.objects.values_list("state", flat=True)) == ["queued", "skipped"]
    else:
        assert set(DueWork.objects.values_list("concurrency_key", flat=True)) == {f"{task.agent_id}:api"}


def test_an_edit_of_the_policy_waits_for_a_start_and_holds_for_its_run() -> None:
    task = TaskFactory()
    edits: list[Any] = []

    with transaction.atomic():
        start_run(actor=ACTOR, task=task)
        thread = beside(lambda: edit(task, overlap="skip"), edits)
        wait_until(somebody_waits_for_us, what="the edit to wait for the start")
    thread.join(10)

    assert [edited.overlap for edited in edits] == ["skip"]
    assert DueWork.objects.get().is_exclusive
    assert start_run(actor=ACTOR, task=task).state == RunState.SKIPPED


def test_a_start_during_an_edit_of_the_policy_waits_and_heeds_it() -> None:
    task = TaskFactory()
    start_run(actor=ACTOR, task=task)
    started: list[Any] = []

    with transaction.atomic():
        edit(task, overlap="skip")
        thread = beside(lambda: start_run(actor=ACTOR, task=task), started)
        wait_until(somebody_waits_for_us, what="the start to wait for the edit")
    thread.join(10)

    assert [run.state for run in started] == [RunState.SKIPPED]
    assert broken_invariants() == {}


def test_a_start_during_an_edit_that_allows_overlap_waits_and_starts() -> None:
    task = TaskFactory(overlap="skip")
    start_run(actor=ACTOR, task=task)
    started: list[Any] = []

    with transaction.atomic():
        edit(task, overlap="allow")
        thread = beside(lambda: start_run(actor=ACTOR, task=task), started)
        wait_until(somebody_waits_for_us, what="the start to wait for the edit")
    thread.join(10)

    assert [run.state for run in started] == [RunState.QUEUED]
    assert set(DueWork.objects.values_list("is_exclusive", flat=True)) == {False}


def test_a_redrive_during_an_edit_of_the_policy_heeds_it() -> None:
    task = TaskFactory()
    dead = RunFactory(task=task, dead=True)
    redriven: list[Any] = []

    with transaction.atomic():
        edit(task, overlap="skip")
        thread = beside(lambda: retry_run(actor=ACTOR, run=dead), redriven)
        wait_until(somebody_waits_for_us, what="the redrive to wait for the edit")
    thread.join(10)

    assert DueWork.objects.get().is_exclusive
    assert broken_invariants() == {}


def test_starts_of_a_task_that_allows_overlap_do_not_wait_for_each_other_or_for_other_edits() -> None:
    task = TaskFactory()
    start = Start(task_id=task.pk, trigger_kind=TriggerKind.MANUAL)
    done: list[Any] = []

    def admit_one() -> int:
        with transaction.atomic(), connection.cursor() as cursor:
            return len(admit(cursor, [start]))

    with transaction.atomic(), connection.cursor() as cursor:
        admit(cursor, [start])
        beside(admit_one, done).join(10)
        beside(lambda: edit(task, title="Another").title, done).join(10)

    assert done == [1, "Another"]


def test_edits_and_passes_at_once_leave_no_run_that_the_policy_does_not_see() -> None:
    """Twenty edits to and fro, while two clocks fire every second of a schedule and somebody starts runs by hand."""
    task = TaskFactory()
    every_second(task)
    is_over = threading.Event()
    results: list[Any] = []

    def fire_on() -> int:
        runs = 0
        while not is_over.is_set():
            runs += run_pass(now=Schedule.objects.get().next_fire_at).runs
        return runs

    def start_on() -> int:
        runs = 0
        while not is_over.is_set():
            runs += start_run(actor=ACTOR, task=task).state == RunState.QUEUED
        return runs

    threads = [beside(fire_on, results), beside(fire_on, results), beside(start_on, results)]
    broken = []
    for turn in range(20):
        edit(task, overlap="allow")
        edit(task, overlap=("skip", "queue_one")[turn % 2])
        broken.append(_unmarked())
    is_over.set()
    for thread in threads:
        thread.join(30)

    assert all(isinstance(result, int) for result in results), results
    assert sum(results) > 0
    assert broken == [0] * 20
    assert "a live run is judged by its task's policy" not in broken_invariants()


def _unmarked() -> int:
    return DueWork.objects.filter(is_exclusive=False).count()
