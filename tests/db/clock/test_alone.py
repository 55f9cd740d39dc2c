"""Starts of exclusive tasks that leave nothing to decide: one statement writes them, and leaves the others."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduling.clock import firing
from scheduling.clock.firing import run_pass
from scheduling.clock.isolation import SteppedOver
from scheduling.ids import new_id
from scheduling.models import DedupeKey, DueWork, Run, Schedule
from scheduling.runs.states import Gate, SkipReason
from scheduling.schedules.models import ScheduleState
from tests.factories import DueWorkFactory, RunFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
POLICIES = ("skip", "queue_one", "queue_all", "cancel_running")


def daily(**fields: Any) -> Schedule:
    return ScheduleFactory(**{"expression": "0 9 * * *", "next_fire_at": NINE, **fields})


def live(task: Any, **fields: Any) -> DueWork:
    return DueWorkFactory(run=RunFactory(task=task), is_exclusive=True, **fields)


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[Schedule]:
    """The schedules whose starts were decided on one by one."""
    schedules: list[Schedule] = []
    fire = firing.fire

    def watched(planned: Any, **how: Any) -> Any:
        schedules.extend(Schedule.objects.get(pk=item.schedule.id) for item in planned)
        return fire(planned, **how)

    monkeypatch.setattr(firing, "fire", watched)
    return schedules


def test_of_tasks_with_nothing_live_one_statement_writes_all_starts(decided: list[Schedule]) -> None:
    schedules = [daily(task=TaskFactory(overlap=policy)) for policy in POLICIES for _ in range(3)]

    result = run_pass(now=NINE)

    assert (result.runs, result.lost, result.stepped_over) == (12, 0, 0)
    assert decided == []
    assert set(DueWork.objects.values_list("gate", "is_exclusive")) == {(None, True)}
    assert set(Run.objects.values_list("schedule", flat=True)) == {schedule.pk for schedule in schedules}
    assert set(Schedule.objects.values_list("next_fire_at", "fired_count")) == {(NINE + DAY, 1)}


@pytest.mark.parametrize(
    ("policy", "gates"),
    [("skip", [None]), ("queue_one", [None, "overlap"]), ("queue_all", [None, "overlap"]), ("cancel_running", [None])],
)
def test_what_is_live_is_decided_on_as_ever(decided: list[Schedule], policy: str, gates: list[Any]) -> None:
    free, busy = [daily(task=TaskFactory(overlap=policy)) for _ in range(2)]
    before = live(busy.task)

    result = run_pass(now=NINE)

    assert decided == [busy]
    assert DueWork.objects.filter(task=free.task).count() == 1
    assert list(DueWork.objects.filter(task=busy.task).order_by("pk").values_list("gate", flat=True)) == gates
    assert (result.runs, result.skipped) == ((1, 1) if policy == "skip" else (2, 0))
    assert DueWork.objects.filter(pk=before.pk).exists() == (policy != "cancel_running")


def test_what_waits_for_its_turn_is_in_the_way_too(decided: list[Schedule]) -> None:
    schedule = daily(task=TaskFactory(overlap="queue_one"))
    live(schedule.task, gate=Gate.OVERLAP)

    run_pass(now=NINE)

    assert decided == [schedule]


def test_two_schedules_of_one_task_at_once_are_decided_on(decided: list[Schedule]) -> None:
    task = TaskFactory(overlap="skip")
    both = [daily(task=task), daily(task=task)]

    result = run_pass(now=NINE)

    assert set(decided) == set(both)
    assert (result.runs, result.skipped) == (1, 1)
    assert sorted(Run.objects.values_list("skip_reason", flat=True)) == ["", SkipReason.OVERLAP]


def test_several_starts_at_once_and_keys_are_decided_on(decided: list[Schedule]) -> None:
    late = daily(task=TaskFactory(overlap="queue_all"), misfire_policy="all", next_fire_at=NINE - DAY)
    keyed = daily(task=TaskFactory(overlap="queue_all", concurrency_key="k", concurrency_limit=1))

    run_pass(now=NINE)

    assert set(decided) == {late, keyed}


def test_one_that_was_singled_out_by_a_time_out_is_tried_in_its_own_lane(decided: list[Schedule]) -> None:
    schedule = daily(task=TaskFactory(overlap="skip"))
    at = [0.0]
    left_alone = SteppedOver(now=lambda: at[0])
    left_alone.add([schedule.pk])
    at[0] = 2.0

    run_pass(now=NINE, stepped_over=left_alone)

    assert decided == [schedule]
    assert not left_alone.has_suspects


@pytest.mark.parametrize("overlap", ["allow", "skip"])
@pytest.mark.parametrize(("fired", "state", "mark"), [(1, "completed", None), (0, "active", NINE + DAY)])
def test_the_last_of_its_maximum_completes_a_schedule(
    decided: list[Schedule], overlap: str, fired: int, state: str, mark: Any
) -> None:
    schedule = daily(task=TaskFactory(overlap=overlap), max_occurrences=2, fired_count=fired)

    run_pass(now=NINE)

    schedule.refresh_from_db()
    assert (schedule.state, schedule.next_fire_at, schedule.fired_count) == (ScheduleState(state), mark, fired + 1)
    assert decided == []


@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_an_occurrence_that_has_its_run_does_not_use_up_the_maximum(overlap: str) -> None:
    schedule = daily(task=TaskFactory(overlap=overlap), max_occurrences=1)
    RunFactory(task=schedule.task, schedule=schedule, trigger_kind="schedule", scheduled_for=NINE)

    run_pass(now=NINE)

    schedule.refresh_from_db()
    assert (schedule.state, schedule.next_fire_at, schedule.fired_count) == (ScheduleState.ACTIVE, NINE + DAY, 0)


def test_equal_schedules_with_equal_rest_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for remaining in (1, 1, 2, None, None):
        daily(max_occurrences=remaining)
    planned: list[Any] = []
    plan_schedule = firing.plan_schedule

    def noted(due: Any) -> Any:
        planned.append(due.remaining)
        return plan_schedule(due)

    monkeypatch.setattr(firing, "plan_schedule", noted)

    assert run_pass(now=NINE).runs == 5
    assert sorted(planned, key=str) == [1, 2, None]


# Several schedules of one task, in two lanes or of two ages: the policy sees their occurrences in their order.

LATE = {"expression": "0 6,7 * * *", "next_fire_at": NINE - 3 * (DAY / 24)}  # 06:00, superseded by 07:00
KINDS_OF_MARKS = {
    "both late": {"expression": "0 8 * * *", "next_fire_at": NINE - DAY / 24},
    "one on time": {},
}


def ends() -> dict[int, str]:
    """What became of the occurrence of each hour."""
    return {
        run.scheduled_for.hour: run.state if run.state == "skipped" else (run.due_work.gate or run.state)
        for run in Run.objects.select_related("due_work").order_by("scheduled_for")
    }


@pytest.mark.parametrize("marks", KINDS_OF_MARKS)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_occurrences_of_two_schedules_of_one_task_are_decided_on_in_their_order(policy: str, marks: str) -> None:
    task = TaskFactory(overlap=policy)
    daily(task=task, **KINDS_OF_MARKS[marks])
    daily(task=task, **LATE)
    newer = 8 if marks == "both late" else 9

    run_pass(now=NINE)

    assert (
        ends()
        == {
            "skip": {7: "queued", newer: "skipped"},
            "queue_one": {7: "queued", newer: "overlap"},
            "queue_all": {7: "queued", newer: "overlap"},
            "cancel_running": {7: "skipped", newer: "queued"},
        }[policy]
    )


@pytest.mark.parametrize("is_claimed", [False, True])
def test_an_occurrence_that_comes_late_cancels_no_newer_one(is_claimed: bool) -> None:
    """The newer one was written by an earlier pass: the task was locked, say, or the batch full."""
    task = TaskFactory(overlap="cancel_running")
    daily(task=task)
    run_pass(now=NINE)
    if is_claimed:
        DueWork.objects.update(lease_owner=new_id(), lease_epoch=1, claimed_at=NINE)
    daily(task=task, **LATE)

    result = run_pass(now=NINE)

    assert (result.runs, result.skipped) == (0, 1)
    assert list(Run.objects.order_by("scheduled_for").values_list("state", flat=True)) == ["skipped", "queued"]
    assert DueWork.objects.get().cancel_requested_at is None


def test_a_run_by_hand_is_replaced_by_an_occurrence_that_comes_late() -> None:
    task = TaskFactory(overlap="cancel_running")
    by_hand = live(task)
    daily(task=task, **LATE)

    run_pass(now=NINE)

    assert not DueWork.objects.filter(pk=by_hand.pk).exists()
    assert DueWork.objects.get().run.scheduled_for == NINE - 2 * (DAY / 24)


def test_one_batch_decides_on_the_occurrences_of_a_task_in_their_order_however_many_there_are() -> None:
    """More starts than a transaction takes: schedules of one task are not parted, nor moved behind one another."""
    task = TaskFactory(overlap="skip")
    crowd = [TaskFactory(overlap="skip") for _ in range(5)]
    ScheduleFactory(
        task=task, expression="* * * * *", next_fire_at=NINE - DAY / 24, misfire_policy="all", misfire_limit=1000
    )
    daily(task=task, expression="30 8 * * *", next_fire_at=NINE - DAY / 48)
    for each in crowd:
        daily(task=each, **LATE)

    run_pass(now=NINE)

    runs = Run.objects.filter(task=task).order_by("scheduled_for")
    assert runs.first().state == "queued"
    assert set(runs[1:].values_list("state", flat=True)) == {"skipped"}


# An occurrence that has its run already: nothing is decided about it.


@pytest.mark.parametrize("policy", ["cancel_running", "skip", "queue_all"])
def test_an_occurrence_that_has_its_run_cancels_and_blocks_nobody(policy: str) -> None:
    task = TaskFactory(overlap=policy)
    schedule = daily(task=task)
    RunFactory(task=task, schedule=schedule, trigger_kind="schedule", scheduled_for=NINE)
    by_hand = live(task) if policy == "cancel_running" else None
    if by_hand is None:
        daily(task=task, expression="0 9 1 6 *")

    run_pass(now=NINE)

    schedule.refresh_from_db()
    assert (schedule.next_fire_at, schedule.fired_count, schedule.skipped_count) == (NINE + DAY, 0, 0)
    if by_hand is not None:
        assert DueWork.objects.get().pk == by_hand.pk
        assert by_hand.run.state != "canceled"
    else:
        assert DueWork.objects.get().gate is None


def test_an_occurrence_that_has_its_run_takes_no_deduplication_key() -> None:
    task = TaskFactory(dedupe_key="k", dedupe_window=timedelta(hours=1))
    schedule = daily(task=task)
    RunFactory(task=task, schedule=schedule, trigger_kind="schedule", scheduled_for=NINE)

    run_pass(now=NINE)

    assert not DedupeKey.objects.exists()


def test_one_that_comes_late_and_is_skipped_takes_no_deduplication_key_from_the_newest() -> None:
    task = TaskFactory(overlap="cancel_running", dedupe_key="k", dedupe_window=timedelta(seconds=1))
    running = RunFactory(task=task, schedule=daily(task=task), trigger_kind="schedule", scheduled_for=NINE)
    DueWorkFactory(run=running, is_exclusive=True)
    Schedule.objects.update(next_fire_at=NINE + DAY)
    daily(task=task, expression="0 8 * * *", next_fire_at=NINE - DAY / 24)
    daily(task=task, expression="30 9 * * *", next_fire_at=NINE + DAY / 48)

    result = run_pass(now=NINE + DAY / 48)

    assert (result.runs, result.skipped) == (1, 1)
    assert DueWork.objects.get().run.scheduled_for == NINE + DAY / 48
