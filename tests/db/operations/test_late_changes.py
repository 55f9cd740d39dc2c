"""What was due or held when a maximum, a policy or a pause changed is accounted for, and once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Sum

from scheduling.audit.operations import Actor
from scheduling.backfills.operations import create_backfill
from scheduling.clock.firing import run_pass
from scheduling.clock.jobs import end_snoozes
from scheduling.errors import NotValid
from scheduling.models import DueWork, Miss, Run, Schedule
from scheduling.runs.operations import retry_run, start_run
from scheduling.schedules.operations import pause_schedule, resume_schedule, update_schedule
from scheduling.schedules.previews import preview_of_schedule
from scheduling.tasks.operations import pause_task, update_task
from tests.factories import BackfillFactory, DueWorkFactory, RunFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
HOUR = timedelta(hours=1)


def hourly(**columns: Any) -> Schedule:
    now = datetime.now(UTC)
    at = now.replace(minute=0, second=0, microsecond=0) - 3 * HOUR
    return ScheduleFactory(expression="0 * * * *", next_fire_at=at, misfire_policy="all", **columns)


def change(schedule: Schedule, **changes: Any) -> Schedule:
    return update_schedule(actor=ACTOR, schedule=schedule, changes=changes)


def missed(schedule: Schedule) -> dict[str, int]:
    sums = Miss.objects.filter(schedule=schedule).values("reason").annotate(total=Sum("count"))
    return {each["reason"]: each["total"] for each in sums}


@pytest.mark.parametrize(("is_paused", "reason"), [(True, "paused"), (False, "edited")])
def test_what_was_due_when_the_maximum_was_lowered_is_missed(is_paused: bool, reason: str) -> None:
    schedule = hourly(fired_count=1)
    if is_paused:
        pause_schedule(actor=ACTOR, schedule=schedule)
    change(schedule, max_occurrences=1)
    again = change(schedule, max_occurrences=5)
    if is_paused:
        again = resume_schedule(actor=ACTOR, schedule=schedule)

    assert missed(schedule) == {reason: 4}
    assert (again.state, again.missed_count) == ("active", 4)
    assert again.next_fire_at is not None
    assert again.next_fire_at > datetime.now(UTC)


def test_a_schedule_that_is_resumed_without_a_run_left_is_completed() -> None:
    schedule = hourly(fired_count=1)
    pause_schedule(actor=ACTOR, schedule=schedule)
    change(schedule, max_occurrences=1)

    assert resume_schedule(actor=ACTOR, schedule=schedule).state == "completed"


def test_what_came_before_a_rule_was_mended_is_missed() -> None:
    schedule = hourly()
    Schedule.objects.filter(pk=schedule.pk).update(timezone="Mars/Olympus", state="quarantined")
    schedule.refresh_from_db()

    change(schedule, timezone="UTC")

    assert missed(schedule) == {"paused": 4}


def test_runs_that_a_late_policy_skips_count_as_skipped() -> None:
    task = TaskFactory(overlap="queue_all")
    at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=6)
    schedule = ScheduleFactory(
        task=task, expression="* * * * *", next_fire_at=at, misfire_policy="all", max_occurrences=5
    )
    run_pass()
    assert Schedule.objects.get(pk=schedule.pk).state == "completed"

    update_task(actor=ACTOR, task=task, changes={"overlap": "skip"})

    now = Schedule.objects.get(pk=schedule.pk)
    assert sorted(Run.objects.filter(task=task).values_list("state", flat=True)) == ["queued", *["skipped"] * 4]
    assert (now.fired_count, now.skipped_count, now.state, now.remaining) == (1, 4, "active", 4)
    assert now.next_fire_at is not None
    assert now.next_fire_at > datetime.now(UTC)


def test_a_redriven_run_that_a_late_policy_skips_has_fired_all_the_same() -> None:
    task = TaskFactory(overlap="queue_all")
    at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    schedule = ScheduleFactory(task=task, next_fire_at=None, state="completed", max_occurrences=2, fired_count=2)
    failed = RunFactory(dead=True, task=task, schedule=schedule, trigger_kind="schedule", scheduled_for=at)
    start_run(actor=ACTOR, task=task)
    retry_run(actor=ACTOR, run=failed)

    update_task(actor=ACTOR, task=task, changes={"overlap": "skip"})

    now = Schedule.objects.get(pk=schedule.pk)
    assert Run.objects.get(pk=failed.pk).state == "skipped"
    assert (now.fired_count, now.skipped_count, now.state) == (2, 0, "completed")


@pytest.mark.parametrize(
    ("kind", "counts"),
    [("schedule", 1), ("event", 1), ("after", 1), ("condition", 1), ("backfill", 0), ("manual", 0)],
)
def test_a_late_policy_takes_off_the_count_what_had_counted(kind: str, counts: int) -> None:
    task = TaskFactory(overlap="queue_all")
    schedule = ScheduleFactory(task=task, fired_count=5)
    start_run(actor=ACTOR, task=task)
    if kind == "manual":
        held = start_run(actor=ACTOR, task=task)
        assert held.schedule_id is None
    else:
        backfill = BackfillFactory(schedule=schedule, overlap="queue_all") if kind == "backfill" else None
        held = RunFactory(
            task=task, schedule=schedule, trigger_kind=kind, backfill=backfill, scheduled_for=datetime.now(UTC)
        )
        DueWorkFactory(run=held, gate="overlap", is_exclusive=True, available_at=datetime.now(UTC) + HOUR)

    update_task(actor=ACTOR, task=task, changes={"overlap": "skip"})

    now = Schedule.objects.get(pk=schedule.pk)
    assert Run.objects.get(pk=held.pk).state == ("queued" if kind == "backfill" else "skipped")  # a backfill waits
    assert (now.fired_count, now.skipped_count) == (5 - counts, counts)


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all", "cancel_running"])
def test_a_late_policy_lets_what_has_begun_go_on(overlap: str, is_paused: bool) -> None:
    task = TaskFactory()
    later = datetime.now(UTC) + HOUR
    parked = DueWorkFactory(run=RunFactory(task=task, state="waiting"), claim_count=1, available_at=later)
    between_tries = DueWorkFactory(run=RunFactory(task=task), claim_count=1, attempt=2, available_at=later)
    handed_back = DueWorkFactory(run=RunFactory(task=task), claim_count=1, handback_count=1)
    if is_paused:
        pause_task(actor=ACTOR, task=task)

    update_task(actor=ACTOR, task=task, changes={"overlap": overlap})

    begun = DueWork.objects.filter(pk__in=[parked.pk, between_tries.pk])
    assert list(begun.values_list("gate", "is_exclusive")) == [("paused" if is_paused else None, True)] * 2
    assert Run.objects.get(pk=parked.pk).state == "waiting"
    assert Run.objects.get(pk=handed_back.pk).state == ("skipped" if overlap == "skip" else "queued")
    if overlap != "skip":
        assert DueWork.objects.get(pk=handed_back.pk).gate == "overlap"


@pytest.mark.parametrize("is_of_task", [False, True])
def test_a_backfill_does_not_reach_behind_a_snooze_that_is_over(is_of_task: bool) -> None:
    now = datetime.now(UTC)
    paused_until = now - 2.5 * HOUR
    over = {"state": "paused", "paused_until": paused_until}
    if is_of_task:
        task = TaskFactory(paused_at=now - 4 * HOUR, **over)
        schedule = hourly(task=task, held_at=now - 4 * HOUR)
    else:
        schedule = hourly(**over)
    wanted = {"start": (now - 4 * HOUR).isoformat(), "end": now.isoformat(), "overlap": "allow", "max_active": 100}

    with pytest.raises(NotValid) as refused:
        create_backfill(actor=ACTOR, schedule=schedule, definition=wanted)
    assert refused.value.problems[0].code == "not_fired_yet"

    wanted["end"] = (paused_until - timedelta(seconds=1)).isoformat()
    create_backfill(actor=ACTOR, schedule=schedule, definition=wanted)
    end_snoozes()
    run_pass()
    hours = [now.replace(minute=0, second=0, microsecond=0) - number * HOUR for number in (3, 2, 1, 0)]
    fired = Run.objects.filter(schedule=schedule, trigger_kind="schedule").order_by("scheduled_for")
    assert list(fired.values_list("scheduled_for", flat=True)) == [at for at in hours if at >= paused_until]


def test_the_checks_of_a_condition_are_no_runs_that_use_up_its_maximum() -> None:
    task = TaskFactory()
    schedule = ScheduleFactory(
        task=task, kind="condition", expression="PT5M", max_occurrences=1, check_revision=task.current_revision
    )
    now = datetime.now(UTC)

    for after in (now, now + HOUR):
        assert len(preview_of_schedule(schedule, after=after, now=now, count=5).next) == 5
