"""A backfill's runs: never more at once than its pace, each occurrence once, and nothing live behind them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.audit.operations import Actor
from scheduling.backfills import pacing
from scheduling.backfills.models import Backfill, BackfillState
from scheduling.backfills.operations import cancel_backfill
from scheduling.backfills.pacing import BackfillPacer, advance, plan_slice, read_running
from scheduling.clock.loop import Clock
from scheduling.core.backfill import rule_words
from scheduling.errors import Conflict
from scheduling.models import DueWork, Run, Schedule, Task
from scheduling.runs import admission
from scheduling.runs.operations import retry_run
from scheduling.runs.states import SkipReason, TriggerKind
from scheduling.schedules.models import ScheduleState
from scheduling.schedules.operations import delete_schedule
from scheduling.schedules.rules import rule_of
from scheduling.tasks.models import TaskState
from tests.db.backfills.conftest import FIRST, backfilled, days, end_runs
from tests.factories import BackfillFactory, RunFactory, ScheduleFactory

pytestmark = pytest.mark.django_db


def run_to_its_end(backfill: Backfill) -> int:
    """Turns and ends of runs until it is no longer running; the most that were live at once."""
    pacer, most = BackfillPacer(), 0
    for _ in range(100):
        pacer.turn()
        most = max(most, DueWork.objects.count())
        end_runs()
        backfill.refresh_from_db()
        if backfill.state != BackfillState.RUNNING:
            return most
    raise AssertionError("it does not end")


@pytest.mark.parametrize(("max_active", "overlap"), [(1, "queue_all"), (1, "allow"), (3, "allow"), (50, "allow")])
def test_every_occurrence_runs_once_and_never_more_at_once_than_the_pace(max_active: int, overlap: str) -> None:
    backfill = BackfillFactory(max_active=max_active, overlap=overlap)

    most = run_to_its_end(backfill)

    assert backfilled(backfill) == days(*range(10))
    assert most == min(max_active, 10)
    assert (backfill.state, backfill.started_count, backfill.skipped_count) == (BackfillState.COMPLETED, 10, 0)
    assert backfill.finished_at is not None


def test_its_runs_say_where_they_come_from_and_have_the_lowest_priority() -> None:
    backfill = BackfillFactory(schedule__task__priority=2)

    BackfillPacer().turn()

    run = Run.objects.select_related("due_work").get()
    assert (run.trigger_kind, run.backfill_id, run.schedule_id) == (
        TriggerKind.BACKFILL,
        backfill.pk,
        backfill.schedule_id,
    )
    assert (run.scheduled_for, run.triggered_by, run.due_work.priority) == (FIRST, "tests", 9)


def test_it_is_completed_when_its_last_run_has_ended_and_not_before() -> None:
    backfill = BackfillFactory(end_at=FIRST)
    pacer = BackfillPacer()
    pacer.turn()
    pacer.turn()
    backfill.refresh_from_db()
    assert (backfill.state, backfill.started_count) == (BackfillState.RUNNING, 1)

    end_runs()
    pacer.turn()

    backfill.refresh_from_db()
    assert backfill.state == BackfillState.COMPLETED


def test_the_days_on_which_the_clocks_change_are_in_it() -> None:
    schedule = ScheduleFactory(
        expression="30 2 * * *", timezone="Europe/Berlin", fold="both", starts_at=datetime(2025, 1, 1)
    )
    backfill = BackfillFactory(
        schedule=schedule,
        start_at=datetime(2025, 10, 25, 0, 30, tzinfo=UTC),
        end_at=datetime(2025, 10, 27, 1, 30, tzinfo=UTC),
        max_active=10,
    )

    run_to_its_end(backfill)

    assert [f"{each:%d %H:%M}" for each in backfilled(backfill) if each] == [
        "25 00:30",
        "26 00:30",
        "26 01:30",
        "27 01:30",
    ]


def test_occurrences_that_ran_before_are_left_out() -> None:
    backfill = BackfillFactory(max_active=20)
    schedule = backfill.schedule
    earlier = BackfillFactory(schedule=schedule, state=BackfillState.COMPLETED)
    facts = {"task": schedule.task, "schedule": schedule}
    RunFactory(succeeded=True, trigger_kind="schedule", scheduled_for=days(2)[0], **facts)
    RunFactory(dead=True, trigger_kind="schedule", scheduled_for=days(3)[0], **facts)
    RunFactory(succeeded=True, trigger_kind="backfill", backfill=earlier, scheduled_for=days(5)[0], **facts)
    RunFactory(state="skipped", trigger_kind="schedule", scheduled_for=days(7)[0], **facts)
    RunFactory(state="canceled", trigger_kind="schedule", scheduled_for=days(8)[0], **facts)

    run_to_its_end(backfill)

    assert backfilled(backfill) == days(0, 1, 4, 6, 7, 8, 9)
    assert (backfill.started_count, backfill.skipped_count, backfill.total_count) == (7, 3, 10)


def test_all_run_anew_where_that_is_asked_for() -> None:
    backfill = BackfillFactory(max_active=20, only_missing=False)
    facts = {"task": backfill.schedule.task, "schedule": backfill.schedule}
    RunFactory(succeeded=True, trigger_kind="schedule", scheduled_for=days(2)[0], **facts)

    run_to_its_end(backfill)

    assert backfilled(backfill) == days(*range(10))


def test_a_long_stretch_that_ran_before_is_passed_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "LOOKED_AT", 2)
    backfill = BackfillFactory()
    for day in days(*range(5)):
        RunFactory(
            succeeded=True, trigger_kind="schedule", schedule=backfill.schedule, task=backfill.schedule.task,
            scheduled_for=day,
        )  # fmt: skip
    pacer = BackfillPacer()

    turns = [pacer.turn() for _ in range(3)]

    assert [turn.is_more for turn in turns] == [True, True, False]
    assert backfilled(backfill) == days(5)


def test_it_waits_while_its_task_is_paused() -> None:
    backfill = BackfillFactory()
    Task.objects.update(state=TaskState.PAUSED, paused_at=timezone.now())
    BackfillPacer().turn()
    assert not Run.objects.exists()

    Task.objects.update(state=TaskState.ACTIVE, paused_at=None)
    BackfillPacer().turn()

    assert backfilled(backfill) == days(0)


def test_a_pause_between_reading_and_writing_is_heeded() -> None:
    BackfillFactory()
    (read,) = read_running()
    part = plan_slice(read)
    Task.objects.update(state=TaskState.PAUSED, paused_at=timezone.now())

    advance(read, part)

    assert not Run.objects.exists()


def test_a_paused_schedule_is_backfilled_all_the_same() -> None:
    backfill = BackfillFactory(schedule__state=ScheduleState.PAUSED)

    BackfillPacer().turn()

    assert backfilled(backfill) == days(0)


def test_it_is_canceled_when_its_task_is_archived() -> None:
    backfill = BackfillFactory()
    Task.objects.update(state=TaskState.ARCHIVED, archived_at=timezone.now())

    BackfillPacer().turn()

    backfill.refresh_from_db()
    assert (backfill.state, backfill.state_reason) == (BackfillState.CANCELED, "its task is archived")
    assert not Run.objects.exists()


def test_a_broken_rule_fails_with_its_reason_and_the_others_go_on() -> None:
    broken = BackfillFactory()
    healthy = BackfillFactory()
    Backfill.objects.filter(pk=broken.pk).update(rule={**broken.rule, "timezone": "Atlantis/Capital"})

    BackfillPacer().turn()

    broken.refresh_from_db()
    assert broken.state == BackfillState.FAILED
    assert "Atlantis/Capital" in broken.state_reason
    assert backfilled(healthy) == days(0)


def test_one_that_the_database_refuses_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    guilty, innocent = BackfillFactory(), BackfillFactory()

    def refuse_the_guilty(cursor: Any, starts: Any) -> Any:
        if starts[0].backfill_id == guilty.pk:
            cursor.execute("SELECT 1 / 0")
        return admission.admit(cursor, starts)

    monkeypatch.setattr(pacing, "admit", refuse_the_guilty)
    BackfillPacer().turn()

    guilty.refresh_from_db()
    assert guilty.state == BackfillState.FAILED
    assert guilty.cursor_at == guilty.start_at
    assert backfilled(innocent) == days(0)


def test_a_plan_of_an_older_cursor_is_void() -> None:
    backfill = BackfillFactory(max_active=2)
    (read,) = read_running()
    part = plan_slice(read)
    advance(read, part)

    advance(read, part)

    assert backfilled(backfill) == days(0, 1)


def test_the_rule_is_the_one_that_the_schedule_had() -> None:
    backfill = BackfillFactory(max_active=20)
    Schedule.objects.update(expression="0 12 * * *")

    run_to_its_end(backfill)

    assert backfilled(backfill) == days(*range(10))
    assert backfill.rule == {**rule_words(rule_of(backfill.schedule)), "expression": "0 9 * * *"}


def test_more_backfills_than_a_page_all_have_their_turn() -> None:
    backfills = [BackfillFactory() for _ in range(5)]
    pacer = BackfillPacer(page=2)

    turns = [pacer.turn() for _ in range(3)]

    assert [turn.is_more for turn in turns[:2]] == [True, True]
    assert all(backfilled(each) == days(0) for each in backfills)


def test_a_turn_whose_time_is_over_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "TURN_TIME", -1.0)
    backfills = [BackfillFactory() for _ in range(3)]
    pacer = BackfillPacer()

    turns = [pacer.turn() for _ in range(3)]

    assert [(turn.started, turn.is_more) for turn in turns[:2]] == [(1, True), (1, True)]
    assert all(backfilled(each) == days(0) for each in backfills)


def test_a_schedule_is_not_deleted_under_a_running_backfill_and_its_runs_stay_when_it_is() -> None:
    backfill = BackfillFactory()
    pacer = BackfillPacer()
    pacer.turn()
    actor = Actor.system("tests")

    with pytest.raises(Conflict, match="backfill"):
        delete_schedule(actor=actor, schedule=backfill.schedule)
    cancel_backfill(actor=actor, backfill=backfill)
    with pytest.raises(Conflict, match="Runs of a backfill"):
        delete_schedule(actor=actor, schedule=backfill.schedule)
    end_runs()
    delete_schedule(actor=actor, schedule=backfill.schedule)
    pacer.turn()

    assert not Backfill.objects.exists()
    assert Run.objects.get().scheduled_for == FIRST


def test_a_failed_run_of_a_backfill_that_is_gone_can_be_tried_again() -> None:
    backfill = BackfillFactory(state="completed", schedule__task__overlap="skip")
    ended = {"state": "failed", "cause": "permanent"}
    failed = RunFactory(task=backfill.schedule.task, backfill=backfill, scheduled_for=FIRST, **ended)
    delete_schedule(actor=Actor.system("tests"), schedule=backfill.schedule)

    retry_run(actor=Actor.system("tests"), run=Run.objects.get(pk=failed.pk))

    assert DueWork.objects.get(run=failed).is_exclusive


def test_what_deduplication_skips_is_counted_as_skipped() -> None:
    backfill = BackfillFactory(
        max_active=4,
        schedule__task__dedupe_key="once",
        schedule__task__dedupe_window=timedelta(hours=1),
        end_at=days(3)[0],
    )

    BackfillPacer().turn()

    backfill.refresh_from_db()
    assert (backfill.started_count, backfill.skipped_count) == (1, 3)
    assert Run.objects.filter(skip_reason=SkipReason.DUPLICATE).count() == 3


class ClockUntilIdle(Clock):
    """A clock that stops where another would sleep."""

    def _sleep(self) -> None:
        self.stop()


@pytest.mark.django_db(transaction=True)
def test_live_schedules_that_are_due_are_queued_before_a_backfill_gets_its_turn() -> None:
    now = timezone.now().replace(microsecond=0)
    schedule = ScheduleFactory(expression="* * * * *", next_fire_at=FIRST.replace(2100))
    backfill = BackfillFactory(
        schedule=schedule, end_at=FIRST + timedelta(minutes=9_999), total_count=10_000, max_active=100
    )
    for _ in range(5):
        ScheduleFactory(kind="once", expression=now.isoformat(), next_fire_at=now)

    ClockUntilIdle(batch=2).run()

    live, late = Run.objects.filter(trigger_kind="schedule"), Run.objects.filter(backfill=backfill)
    assert (live.count(), late.count()) == (5, 100)
    assert max(live.values_list("pk", flat=True)) < min(late.values_list("pk", flat=True))
    assert not DueWork.objects.filter(run__in=late, priority__lt=9).exists()


def test_the_live_runs_are_counted_by_their_own_index() -> None:
    backfill = BackfillFactory()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {pacing._LIVE_COUNT.format('%s')}", [backfill.pk])
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "run_backfill_live_idx" in plan
