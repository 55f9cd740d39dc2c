"""Admission: overlap policies, concurrency keys, deduplication."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.models import DueWork, Run, Task
from scheduling.runs.admission import Admitted, Start, admit
from scheduling.runs.gates import release_gated
from scheduling.runs.states import Gate, RunState, SkipReason, TriggerKind
from tests.factories import DueWorkFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db


def start(*tasks: Task, **fields: Any) -> list[Admitted]:
    starts = [Start(task_id=task.id, trigger_kind=TriggerKind.MANUAL, **fields) for task in tasks]
    return admit_all(starts)


def admit_all(starts: Sequence[Start]) -> list[Admitted]:
    with transaction.atomic(), connection.cursor() as cursor:
        return admit(cursor, starts)


def release(**what: Any) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        return release_gated(cursor, **what)


def gates(task: Task) -> list[str | None]:
    """The gates of a task's due work, oldest first."""
    return list(DueWork.objects.filter(task=task).order_by("run_id").values_list("gate", flat=True))


def lease(run_id: object) -> None:
    DueWork.objects.filter(run_id=run_id).update(
        lease_owner="00000000-0000-7000-8000-000000000001", lease_epoch=1, claimed_at=datetime.now(UTC)
    )


def finish(run_id: object) -> None:
    DueWork.objects.filter(run_id=run_id).delete()
    Run.objects.filter(id=run_id).update(state=RunState.SUCCEEDED)


def test_a_run_carries_the_tasks_params_under_its_own() -> None:
    task = TaskFactory(params={"city": "Chisinau", "limit": 5})

    (admitted,) = start(task, params={"limit": 7})

    assert Run.objects.get(id=admitted.run_id).params == {"city": "Chisinau", "limit": 7}


def test_a_simulated_task_makes_simulated_runs() -> None:
    (admitted,) = start(TaskFactory(simulate=True))

    assert Run.objects.get(id=admitted.run_id).simulated


def test_allow_lets_runs_overlap() -> None:
    task = TaskFactory(overlap="allow")

    start(task, task)

    assert gates(task) == [None, None]


def test_skip_starts_one_and_records_the_other() -> None:
    task = TaskFactory(overlap="skip")

    first, second = start(task, task)

    assert (first.state, second.state, second.skip_reason) == (
        RunState.QUEUED,
        RunState.SKIPPED,
        SkipReason.OVERLAP,
    )
    assert Run.objects.get(id=second.run_id).finished_at is not None


def test_queue_one_keeps_the_first_that_waits() -> None:
    task = TaskFactory(overlap="queue_one")

    _, second, third = start(task, task, task)

    assert gates(task) == [None, Gate.OVERLAP]
    assert (second.state, third.state) == (RunState.QUEUED, RunState.SKIPPED)


def test_queue_all_keeps_all_that_wait_and_lets_them_go_one_by_one() -> None:
    task = TaskFactory(overlap="queue_all")
    first, second, third = start(task, task, task)

    finish(first.run_id)
    release(task_ids=[task.id])

    assert gates(task) == [None, Gate.OVERLAP]
    assert DueWork.objects.get(run_id=second.run_id).gate is None
    assert DueWork.objects.get(run_id=third.run_id).gate == Gate.OVERLAP


def test_a_held_run_stays_held_while_another_is_live() -> None:
    task = TaskFactory(overlap="queue_one")
    start(task, task)

    released = release(task_ids=[task.id])

    assert released == 0
    assert gates(task) == [None, Gate.OVERLAP]


def test_cancel_running_ends_what_is_queued_and_asks_what_runs_to_stop() -> None:
    task = TaskFactory(overlap="cancel_running")
    (running,) = start(task)
    lease(running.run_id)
    (queued,) = start(task)

    (newest,) = start(task)

    assert Run.objects.get(id=queued.run_id).state == RunState.CANCELED
    assert DueWork.objects.get(run_id=running.run_id).cancel_requested_at is not None
    assert DueWork.objects.get(run_id=newest.run_id).gate == Gate.OVERLAP


def test_cancel_running_starts_at_once_where_nothing_is_leased() -> None:
    task = TaskFactory(overlap="cancel_running")
    (old,) = start(task)

    (newest,) = start(task)

    assert Run.objects.get(id=old.run_id).state == RunState.CANCELED
    assert DueWork.objects.get().run_id == newest.run_id
    assert gates(task) == [None]


def test_of_one_batch_cancel_running_keeps_the_newest() -> None:
    task = TaskFactory(overlap="cancel_running")

    admitted = start(task, task, task)

    assert [item.state for item in admitted] == [RunState.SKIPPED, RunState.SKIPPED, RunState.QUEUED]
    assert gates(task) == [None]


def test_a_policy_that_became_allow_frees_all_that_were_held() -> None:
    task = TaskFactory(overlap="queue_all")
    start(task, task, task)
    Task.objects.filter(id=task.id).update(overlap="allow")

    released = release(task_ids=[task.id])

    assert released == 2
    assert gates(task) == [None, None, None]


def test_a_concurrency_key_admits_no_more_than_its_limit() -> None:
    task = TaskFactory(concurrency_key="api", concurrency_limit=2)

    admitted = start(task, task, task, task)

    assert sorted(gates(task), key=str) == [None, None, Gate.KEY, Gate.KEY]

    finish(admitted[0].run_id)
    key = DueWork.objects.filter(gate=Gate.KEY).first().concurrency_key
    assert release(keys=[key]) == 1
    assert release(keys=[key]) == 0


def test_a_key_is_rendered_from_the_params_of_the_run() -> None:
    task = TaskFactory(concurrency_key="city-${params.city}", concurrency_limit=1)

    admit_all(
        [
            Start(task_id=task.id, trigger_kind=TriggerKind.MANUAL, params={"city": city})
            for city in ("Chisinau", "Berlin", "Berlin")
        ]
    )

    keys = DueWork.objects.values_list("concurrency_key", "gate")
    assert sorted((key.split(":")[1], gate or "") for key, gate in keys) == [
        ("city-Berlin", ""),
        ("city-Berlin", Gate.KEY),
        ("city-Chisinau", ""),
    ]


def test_the_same_words_of_two_agents_are_two_keys() -> None:
    ours, theirs = (TaskFactory(concurrency_key="api", concurrency_limit=1) for _ in range(2))

    start(ours, theirs)

    assert gates(ours) == gates(theirs) == [None]


def test_waiting_under_a_key_goes_by_priority_then_due_time() -> None:
    task = TaskFactory(concurrency_key="api", concurrency_limit=1)
    start(task)
    now = datetime.now(UTC)
    key = DueWork.objects.get().concurrency_key
    late, early, urgent = (
        DueWorkFactory(run__task=task, concurrency_key=key, gate=Gate.KEY, priority=priority, available_at=at)
        for priority, at in [
            (5, now - timedelta(seconds=1)),
            (5, now - timedelta(seconds=2)),
            (1, now - timedelta(seconds=1)),
        ]
    )
    order = []
    for _ in range(3):
        held = DueWork.objects.get(gate=None)
        finish(held.run_id)
        release(keys=[key])
        order.append(DueWork.objects.get(gate=None).run_id)

    assert order == [urgent.run_id, early.run_id, late.run_id]


def test_a_run_that_waits_for_both_passes_overlap_first() -> None:
    task = TaskFactory(overlap="queue_all", concurrency_key="api", concurrency_limit=1)
    first, second = start(task, task)

    assert gates(task) == [None, Gate.OVERLAP]

    finish(first.run_id)
    release(task_ids=[task.id])
    assert DueWork.objects.get(run_id=second.run_id).gate is None


def test_a_deduplication_key_lets_one_start_in_its_window() -> None:
    task = TaskFactory(dedupe_key="once", dedupe_window=timedelta(hours=1))

    first, second = start(task, task)
    (third,) = start(task)

    assert first.state == RunState.QUEUED
    assert [second.skip_reason, third.skip_reason] == [SkipReason.DUPLICATE, SkipReason.DUPLICATE]
    assert second.duplicate_of == third.duplicate_of == first.run_id


def test_a_simulated_run_takes_no_deduplication_key_and_is_held_by_none() -> None:
    task = TaskFactory(dedupe_key="once", dedupe_window=timedelta(hours=1))

    before, real = start(task, simulated=True) + start(task)
    after, again = start(task, simulated=True) + start(task)

    assert [each.skip_reason for each in (before, real, after)] == ["", "", ""]
    assert (again.skip_reason, again.duplicate_of) == (SkipReason.DUPLICATE, real.run_id)


def test_runs_of_a_task_that_is_simulated_take_no_deduplication_key() -> None:
    task = TaskFactory(dedupe_key="once", dedupe_window=timedelta(hours=1), simulate=True)

    assert [each.state for each in start(task, task)] == [RunState.QUEUED, RunState.QUEUED]


def test_a_deduplication_window_that_is_over_admits_again() -> None:
    from scheduling.models import DedupeKey

    task = TaskFactory(dedupe_key="once", dedupe_window=timedelta(hours=1))
    start(task)
    DedupeKey.objects.update(expires_at=datetime.now(UTC) - timedelta(hours=1))

    (again,) = start(task)

    assert again.state == RunState.QUEUED


def test_an_occurrence_that_has_its_run_is_left_alone() -> None:
    schedule = ScheduleFactory()
    occurrence = Start(
        task_id=schedule.task_id,
        trigger_kind=TriggerKind.SCHEDULE,
        schedule_id=schedule.id,
        scheduled_for=schedule.next_fire_at,
    )
    admit_all([occurrence])

    (again,) = admit_all([occurrence])

    assert again.run_id is None
    assert (Run.objects.count(), DueWork.objects.count()) == (1, 1)


def test_an_unknown_task_is_the_callers_error() -> None:
    with pytest.raises(KeyError):
        start(TaskFactory.build())


def test_a_duplicate_does_not_cancel_what_runs() -> None:
    task = TaskFactory(overlap="cancel_running", dedupe_key="once", dedupe_window=timedelta(hours=1))
    (first,) = start(task)
    lease(first.run_id)

    (second,) = start(task)

    assert second.skip_reason == SkipReason.DUPLICATE
    assert DueWork.objects.get(run_id=first.run_id).cancel_requested_at is None


def test_a_run_that_overlap_skips_takes_no_deduplication_key() -> None:
    task = TaskFactory(overlap="skip", dedupe_key="city-${params.city}", dedupe_window=timedelta(hours=1))
    (running,) = start(task, params={"city": "Berlin"})
    (skipped,) = start(task, params={"city": "Chisinau"})
    finish(running.run_id)

    (again,) = start(task, params={"city": "Chisinau"})

    assert skipped.skip_reason == SkipReason.OVERLAP
    assert again.state == RunState.QUEUED
