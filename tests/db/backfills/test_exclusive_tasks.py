"""What the two overlap policies of a backfill mean where the task itself forbids overlap."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from scheduling.audit.operations import Actor
from scheduling.backfills.models import Backfill
from scheduling.backfills.pacing import BackfillPacer
from scheduling.clock.firing import run_pass
from scheduling.core.backfill import rule_words
from scheduling.ids import new_id
from scheduling.models import DueWork, Run
from scheduling.runs.admission import Start, admit
from scheduling.runs.gates import release_gated
from scheduling.runs.states import Gate, TriggerKind
from scheduling.schedules.rules import rule_of
from scheduling.tasks.operations import update_task
from tests.db.backfills.conftest import FIRST, backfilled, days, end_runs
from tests.factories import BackfillFactory, DueWorkFactory, RunFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db


def test_queue_all_starts_while_no_other_run_is_live() -> None:
    task = TaskFactory(overlap="skip")
    backfill = BackfillFactory(schedule=ScheduleFactory(task=task, next_fire_at=FIRST.replace(2100)))
    live = DueWorkFactory(run=RunFactory(task=task))
    Backfill.objects.filter(pk=backfill.pk).update(
        overlap="queue_all", rule=rule_words(rule_of(backfill.schedule)), end_at=FIRST + timedelta(minutes=9)
    )
    pacer = BackfillPacer()
    pacer.turn()
    assert backfilled(backfill) == []

    end_runs([live.run])
    pacer.turn()
    pacer.turn()

    (work,) = DueWork.objects.all()
    assert backfilled(backfill) == [FIRST]
    assert (work.is_exclusive, work.gate) == (True, None)


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all"])
def test_no_live_occurrence_falls_out_for_a_backfill(overlap: str) -> None:
    """A backfilled run is live whenever one comes due: it waits for the end of that, before the next of them."""
    task = TaskFactory(overlap=overlap, priority=3)
    live_at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=20)
    live = ScheduleFactory(task=task, next_fire_at=live_at)
    backfill = BackfillFactory(schedule=live, overlap="queue_all", end_at=FIRST + timedelta(minutes=9))
    pacer = BackfillPacer()

    for number in range(10):
        assert pacer.turn().started == 1
        assert run_pass(now=live_at + number * timedelta(minutes=1)).runs == 1
        ahead, behind = DueWork.objects.select_related("run").order_by("run__backfill_id")
        assert (ahead.run.backfill_id, ahead.gate, ahead.priority) == (backfill.pk, None, 3)
        assert (behind.run.backfill_id, behind.gate) == (None, Gate.OVERLAP)
        assert pacer.turn().started == 0
        end_runs([ahead.run])
        with transaction.atomic(), connection.cursor() as cursor:
            assert release_gated(cursor, task_ids=[task.pk]) == 1
        assert pacer.turn().started == 0
        end_runs([behind.run])

    live.refresh_from_db()
    assert (live.fired_count, live.skipped_count, live.missed_count) == (10, 0, 0)
    assert len(backfilled(backfill)) == 10


@pytest.mark.parametrize(("overlap", "decided"), [("skip", ["skipped"]), ("queue_one", ["skipped"])])
def test_a_second_live_occurrence_meets_the_first_which_waits(overlap: str, decided: list[str]) -> None:
    task = TaskFactory(overlap=overlap)
    live_at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=20)
    live = ScheduleFactory(task=task, next_fire_at=live_at)
    BackfillFactory(schedule=live, overlap="queue_all")
    BackfillPacer().turn()

    for number in range(2):
        run_pass(now=live_at + number * timedelta(minutes=1))

    states = Run.objects.filter(schedule=live, backfill=None).order_by("scheduled_for").values_list("state")
    assert [state for (state,) in states] == ["queued", *decided]


def test_what_a_worker_has_or_is_no_backfills_keeps_its_priority() -> None:
    task = TaskFactory(overlap="queue_all", priority=2)
    backfill = BackfillFactory(schedule__task=task)
    held_by = {"lease_owner": new_id(), "lease_epoch": 1, "claimed_at": timezone.now()}
    taken = DueWorkFactory(run=RunFactory(task=task, backfill=backfill), is_exclusive=True, priority=9, **held_by)
    start = Start(task_id=task.pk, trigger_kind=TriggerKind.MANUAL)
    with transaction.atomic(), connection.cursor() as cursor:
        admit(cursor, [start])
    taken.refresh_from_db()
    assert taken.priority == 9

    DueWork.objects.all().delete()
    own = DueWorkFactory(run=RunFactory(task=task), is_exclusive=True, priority=9)
    with transaction.atomic(), connection.cursor() as cursor:
        admit(cursor, [start])
    own.refresh_from_db()
    assert own.priority == 9


def test_queue_all_waits_for_held_runs_too() -> None:
    task = TaskFactory(overlap="queue_one")
    DueWorkFactory(run=RunFactory(task=task), gate=Gate.OVERLAP)
    backfill = BackfillFactory(
        schedule=ScheduleFactory(task=task, next_fire_at=FIRST.replace(2100)), overlap="queue_all"
    )

    BackfillPacer().turn()

    assert backfilled(backfill) == []


def test_allow_stands_beside_the_others() -> None:
    task = TaskFactory(overlap="skip")
    DueWorkFactory(run=RunFactory(task=task))
    backfill = BackfillFactory(
        schedule=ScheduleFactory(task=task, expression="0 9 * * *", next_fire_at=FIRST.replace(2100)), max_active=2
    )

    BackfillPacer().turn()

    assert backfilled(backfill) == days(0, 1)
    assert not DueWork.objects.filter(run__backfill=backfill).exclude(is_exclusive=False).exists()


@pytest.mark.parametrize(("overlap", "is_exclusive"), [("queue_all", True), ("allow", False)])
def test_a_policy_that_forbids_overlap_from_now_on_counts_runs_of_queue_all(overlap: str, is_exclusive: bool) -> None:
    backfill = BackfillFactory(overlap=overlap)
    BackfillPacer().turn()

    update_task(actor=Actor.system("tests"), task=backfill.schedule.task, changes={"overlap": "skip"})

    assert DueWork.objects.get().is_exclusive == is_exclusive


@pytest.mark.parametrize("is_begun", [False, True])
@pytest.mark.parametrize("former", ["queue_one", "queue_all", "allow"])
def test_a_late_policy_skips_neither_the_first_that_waits_for_a_backfilled_run_nor_that(
    former: str, is_begun: bool
) -> None:
    task = TaskFactory(overlap=former)
    live_at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=20)
    live = ScheduleFactory(task=task, next_fire_at=live_at)
    backfill = BackfillFactory(schedule=live, overlap="queue_all")
    BackfillPacer().turn()
    made = DueWork.objects.get()
    if is_begun:
        leased = {"lease_owner": new_id(), "lease_epoch": 1, "claimed_at": timezone.now(), "claim_count": 1}
        DueWork.objects.filter(pk=made.pk).update(**leased)
    for number in range(2):
        run_pass(now=live_at + number * timedelta(minutes=1))

    update_task(actor=Actor.system("tests"), task=task, changes={"overlap": "skip"})

    assert Run.objects.get(backfill=backfill).state == "queued"
    first, *others = Run.objects.filter(schedule=live, backfill=None).order_by("scheduled_for")
    assert (first.state, {run.state for run in others}) == ("queued", {"skipped"})
    gates = {work.pk: work.gate for work in DueWork.objects.all()}
    expected = {made.pk: None, first.pk: Gate.OVERLAP} if is_begun else {made.pk: Gate.OVERLAP, first.pk: None}
    assert gates == expected


def test_what_a_backfill_has_queued_is_let_go_after_the_others() -> None:
    task = TaskFactory(overlap="queue_all")
    backfill = BackfillFactory(schedule__task=task, overlap="queue_all")
    earlier = timezone.now() - timedelta(hours=1)
    held = {"is_exclusive": True, "gate": Gate.OVERLAP}
    made = DueWorkFactory(run=RunFactory(task=task, backfill=backfill), priority=9, available_at=earlier, **held)
    other = DueWorkFactory(run=RunFactory(task=task), **held)

    with transaction.atomic(), connection.cursor() as cursor:
        assert release_gated(cursor, task_ids=[task.pk]) == 1

    assert list(DueWork.objects.filter(gate=None)) == [other]
    made.refresh_from_db()
    assert made.gate == Gate.OVERLAP
