"""Another overlap policy, and another pause, for a task that is paused: what was queued before waits for the end of the
pause, and is judged as it would be without one."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from scheduling.audit.operations import Actor
from scheduling.clock.firing import run_pass
from scheduling.models import DueWork, Run, Schedule, Task
from scheduling.queues.models import Queue
from scheduling.runs.gates import release_gated
from scheduling.runs.operations import cancel_run, start_run
from scheduling.runs.states import Gate
from scheduling.tasks import operations
from scheduling.tasks.operations import pause_task, resume_task, update_task
from tests.factories import ScheduleFactory, TaskFactory, WorkerFactory
from tests.invariants import broken_invariants
from tests.races.workers.test_retention import in_a_thread
from workers.gates import sweep_gates

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
KEY = {"concurrency_key": "api", "concurrency_limit": 5}
EXCLUSIVE = ("skip", "queue_one", "queue_all", "cancel_running")


def fired_three_times(**columns: Any) -> tuple[Task, Schedule]:
    """A task three of whose occurrences were due at once, and made all the runs that its schedule may have."""
    task = TaskFactory(**columns)
    now = datetime.now(UTC).replace(second=30)
    schedule = ScheduleFactory(
        task=task,
        next_fire_at=(now - timedelta(minutes=2)).replace(second=0, microsecond=0),
        misfire_grace=timedelta(hours=1),
        max_occurrences=3,
    )
    run_pass(now=now)
    return task, schedule


def edit(task: Task, **changes: Any) -> None:
    update_task(actor=ACTOR, task=task, changes=changes)


def gates(task: Task) -> list[str | None]:
    """Of the task's live runs, in the order of their making."""
    return list(DueWork.objects.filter(task=task).order_by("run_id").values_list("gate", flat=True))


def gate_of(run: Run) -> str | None:
    return DueWork.objects.get(pk=run.pk).gate


def standing(task: Task, schedule: Schedule) -> dict[str, Any]:
    """What has become of the runs and their schedule, without names and times."""
    now = Schedule.objects.get(pk=schedule.pk)
    return {
        "runs": list(Run.objects.filter(task=task).order_by("pk").values_list("state", "skip_reason")),
        "gates": gates(task),
        "marks": set(DueWork.objects.filter(task=task).values_list("is_exclusive", flat=True)),
        "schedule": (now.state, now.fired_count, now.skipped_count, now.next_fire_at is None),
    }


def end_the_live_one(task: Task) -> UUID:
    (run_id,) = DueWork.objects.filter(task=task, gate=None).values_list("pk", flat=True)
    Run.objects.filter(pk=run_id).update(state="succeeded", finished_at=datetime.now(UTC))
    DueWork.objects.filter(pk=run_id).delete()
    with transaction.atomic(), connection.cursor() as cursor:
        release_gated(cursor, task_ids=[task.pk])
    return run_id


def first_of(task: Task) -> Run:
    found = Run.objects.filter(task=task).order_by("scheduled_for").first()
    assert found is not None
    return found


def lease(work: DueWork, **others: Any) -> None:
    leased = {"lease_owner": WorkerFactory().pk, "lease_epoch": 1, "claimed_at": datetime.now(UTC), "claim_count": 1}
    DueWork.objects.filter(pk=work.pk).update(**leased | others)


def queued_before_a_pause(overlap: str, **columns: Any) -> tuple[Task, Run]:
    task = TaskFactory(overlap=overlap, **columns)
    before = start_run(actor=ACTOR, task=task)
    pause_task(actor=ACTOR, task=task)
    return task, before


@pytest.mark.parametrize("columns", [{}, KEY, {"queue": "fair"}], ids=["plain", "keyed", "fair"])
@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all"])
def test_a_run_by_hand_starts_in_a_pause_that_holds_another(overlap: str, columns: dict[str, Any]) -> None:
    Queue.objects.create(name="fair", is_fair=True)
    task, before = queued_before_a_pause(overlap, **columns)

    by_hand = start_run(actor=ACTOR, task=task)
    again = start_run(actor=ACTOR, task=task)

    assert gate_of(by_hand) is None
    assert again.state == ("skipped" if overlap == "skip" else "queued")
    assert broken_invariants() == {}
    assert end_the_live_one(task) == by_hand.pk
    assert gates(task) == ([Gate.OVERLAP] if overlap == "skip" else [Gate.OVERLAP, None])
    assert sweep_gates() == 0
    resume_task(actor=ACTOR, task=task)
    if overlap != "skip":
        assert end_the_live_one(task) == again.pk
    assert gate_of(before) is None


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all"])
def test_what_a_pause_held_does_not_run_beside_a_run_by_hand_when_it_ends(overlap: str) -> None:
    task, before = queued_before_a_pause(overlap)
    by_hand = start_run(actor=ACTOR, task=task)

    resume_task(actor=ACTOR, task=task)

    assert (gate_of(before), gate_of(by_hand)) == (Gate.OVERLAP, None)
    assert broken_invariants() == {}
    end_the_live_one(task)
    assert gate_of(before) is None


def test_a_run_by_hand_in_a_pause_replaces_the_one_before_where_the_newest_does() -> None:
    task, before = queued_before_a_pause("cancel_running")

    by_hand = start_run(actor=ACTOR, task=task)

    before.refresh_from_db()
    assert (before.state, gate_of(by_hand)) == ("canceled", None)


@pytest.mark.parametrize("begun", ["leased", "sleeps"])
def test_what_had_begun_before_a_pause_is_in_the_way_of_a_run_by_hand(begun: str) -> None:
    task = TaskFactory(overlap="skip")
    before = start_run(actor=ACTOR, task=task)
    work = DueWork.objects.get(pk=before.pk)
    if begun == "leased":
        lease(work)
    else:
        DueWork.objects.filter(pk=before.pk).update(claim_count=1, available_at=datetime.now(UTC) + timedelta(hours=1))
    pause_task(actor=ACTOR, task=task)

    assert start_run(actor=ACTOR, task=task).state == "skipped"
    assert gate_of(before) == (None if begun == "leased" else Gate.PAUSED)


@pytest.mark.parametrize("columns", [{}, KEY, {"queue": "fair"}], ids=["plain", "keyed", "fair"])
@pytest.mark.parametrize("former", ["queue_all", "queue_one"])
def test_all_that_was_held_starts_after_a_pause_in_which_the_task_came_to_allow_overlap(
    former: str, columns: dict[str, Any]
) -> None:
    Queue.objects.create(name="fair", is_fair=True)
    task, _ = fired_three_times(overlap=former, **columns)
    held = 1 if former == "queue_one" else 2
    pause_task(actor=ACTOR, task=task)

    edit(task, overlap="allow")

    assert gates(task) == [Gate.PAUSED] * (1 + held)
    assert broken_invariants() == {}

    resume_task(actor=ACTOR, task=task)

    assert gates(task) == [None] * (1 + held)
    assert broken_invariants() == {}
    assert sweep_gates() == 0


@pytest.mark.parametrize("columns", [{}, KEY, {"queue": "fair"}], ids=["plain", "keyed", "fair"])
@pytest.mark.parametrize("overlap", EXCLUSIVE)
def test_a_task_that_forbids_overlap_in_a_pause_is_as_one_that_did_so_without(
    overlap: str, columns: dict[str, Any]
) -> None:
    Queue.objects.create(name="fair", is_fair=True)
    expected = fired_three_times(overlap="allow", **columns)
    edit(expected[0], overlap=overlap)
    task, schedule = fired_three_times(overlap="allow", **columns)
    pause_task(actor=ACTOR, task=task)

    edit(task, overlap=overlap)

    assert gates(task)[0] == Gate.OVERLAP
    assert broken_invariants() == {}

    resume_task(actor=ACTOR, task=task)

    assert standing(task, schedule) == standing(*expected)
    assert broken_invariants() == {}


def test_held_runs_follow_one_by_one_after_the_pause() -> None:
    task, _ = fired_three_times(overlap="allow")
    pause_task(actor=ACTOR, task=task)
    edit(task, overlap="queue_all")
    resume_task(actor=ACTOR, task=task)

    ended = [end_the_live_one(task) for _ in range(3)]

    assert ended == list(Run.objects.filter(task=task).order_by("scheduled_for").values_list("pk", flat=True))


def test_forbidding_and_allowing_overlap_in_one_pause_changes_nothing() -> None:
    task, _ = fired_three_times(overlap="allow")
    pause_task(actor=ACTOR, task=task)

    edit(task, overlap="queue_all")
    edit(task, overlap="allow")

    assert gates(task) == [Gate.PAUSED] * 3


@pytest.mark.parametrize("overlap", EXCLUSIVE)
def test_a_run_by_hand_keeps_its_start_when_the_paused_task_comes_to_forbid_overlap(overlap: str) -> None:
    task, _ = fired_three_times(overlap="allow")
    pause_task(actor=ACTOR, task=task)
    by_hand = start_run(actor=ACTOR, task=task)

    edit(task, overlap=overlap)

    assert gate_of(by_hand) is None
    assert set(gates(task)) <= {None, Gate.OVERLAP}
    assert broken_invariants() == {}
    cancel_run(actor=ACTOR, run=by_hand)
    assert set(gates(task)) <= {Gate.OVERLAP}
    resume_task(actor=ACTOR, task=task)
    waiting = {"skip": 0, "queue_one": 1}.get(overlap, 3)
    assert gates(task) == [None, *[Gate.OVERLAP] * (waiting - 1)][:waiting]


def test_a_run_by_hand_that_waits_in_a_pause_starts_when_the_task_comes_to_allow_overlap() -> None:
    task, _ = fired_three_times(overlap="queue_all")
    lease(DueWork.objects.get(task=task, gate=None))
    pause_task(actor=ACTOR, task=task)
    by_hand = start_run(actor=ACTOR, task=task)
    assert gate_of(by_hand) == Gate.OVERLAP

    edit(task, overlap="allow")

    assert gates(task) == [None, *[Gate.PAUSED] * 2, None]


@pytest.mark.parametrize("former", ["queue_one", "cancel_running", "allow"])
def test_what_waits_for_the_end_of_the_pause_is_not_in_the_way_of_a_run_by_hand(former: str) -> None:
    task, _ = fired_three_times(overlap="queue_all")
    pause_task(actor=ACTOR, task=task)
    cancel_run(actor=ACTOR, run=first_of(task))
    Task.objects.filter(pk=task.pk).update(overlap=former)
    if former == "allow":
        DueWork.objects.filter(task=task).update(gate=Gate.PAUSED, is_exclusive=False)

    edit(task, overlap="queue_all")
    by_hand = start_run(actor=ACTOR, task=task)

    assert gate_of(by_hand) is None
    resume_task(actor=ACTOR, task=task)
    assert gates(task) == [Gate.OVERLAP, Gate.OVERLAP, None]
    assert broken_invariants() == {}
    assert end_the_live_one(task) == by_hand.pk
    assert gates(task) == [None, Gate.OVERLAP]


def test_of_those_that_wait_for_a_worker_the_run_by_hand_is_kept() -> None:
    """What was held before the pause starts after it; the one by hand starts as soon as the worker has ended."""
    task, schedule = fired_three_times(overlap="queue_all")
    busy = DueWork.objects.get(task=task, gate=None)
    lease(busy)
    pause_task(actor=ACTOR, task=task)
    by_hand = start_run(actor=ACTOR, task=task)
    assert gate_of(by_hand) == Gate.OVERLAP

    edit(task, overlap="queue_one")

    assert gate_of(by_hand) == Gate.OVERLAP
    assert Run.objects.filter(task=task, state="skipped", schedule=schedule).count() == 2
    assert end_the_live_one(task) == busy.pk
    assert gates(task) == [None]
    assert broken_invariants() == {}


def test_one_of_the_held_runs_is_kept_where_the_one_before_them_ended_in_the_pause() -> None:
    task, _ = fired_three_times(overlap="queue_all")
    pause_task(actor=ACTOR, task=task)
    cancel_run(actor=ACTOR, run=first_of(task))

    edit(task, overlap="skip")
    resume_task(actor=ACTOR, task=task)

    assert gates(task) == [None]
    assert Run.objects.filter(task=task, state="skipped").count() == 1


@pytest.mark.parametrize("overlap", EXCLUSIVE)
def test_a_suspect_is_the_live_one(overlap: str) -> None:
    task, _ = fired_three_times(overlap="allow")
    suspect = DueWork.objects.filter(task=task).order_by("-run_id")[0]
    DueWork.objects.filter(pk=suspect.pk).update(gate=Gate.SUSPECT, is_suspect=True)
    pause_task(actor=ACTOR, task=task)

    edit(task, overlap=overlap)
    resume_task(actor=ACTOR, task=task)

    suspect.refresh_from_db()
    assert suspect.gate == Gate.SUSPECT
    assert gates(task).count(Gate.OVERLAP) == {"skip": 0, "queue_one": 1}.get(overlap, 2)
    assert broken_invariants() == {}


@pytest.mark.parametrize("columns", [{}, {"overlap": "queue_all"}, KEY], ids=["allow", "queue_all", "keyed"])
def test_another_pause_holds_nothing_that_was_started_by_hand_in_this_one(columns: dict[str, Any]) -> None:
    task = TaskFactory(**columns)
    pause_task(actor=ACTOR, task=task, reason="holidays")
    by_hand = start_run(actor=ACTOR, task=task)

    paused = pause_task(actor=ACTOR, task=task, reason="longer holidays")

    assert paused.pause_reason == "longer holidays"
    assert gate_of(by_hand) is None


def test_a_stranded_run_is_found() -> None:
    task, _ = fired_three_times(overlap="queue_all")
    assert broken_invariants() == {}

    Task.objects.filter(pk=task.pk).update(overlap="allow")

    assert list(broken_invariants()) == ["what is held is held by its task's policy"]


@pytest.mark.parametrize("overlap", ["allow", *EXCLUSIVE])
def test_what_starts_while_a_pause_waits_for_its_lock_is_held_by_it(
    overlap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = TaskFactory(overlap=overlap)
    at = datetime.now(UTC)
    ScheduleFactory(task=task, kind="once", expression=at.isoformat(), next_fire_at=at)
    lock = operations._lock

    def fired_first(*args: Any, **options: Any) -> Task:
        in_a_thread(run_pass)()
        return lock(*args, **options)

    monkeypatch.setattr(operations, "_lock", fired_first)
    pause_task(actor=ACTOR, task=task)

    (gate,) = gates(task)
    assert gate in (Gate.PAUSED, Gate.OVERLAP)
    sweep_gates()
    assert gates(task) == [gate]
