"""What retention deletes, what it leaves alone on purpose, and where its walk stands afterwards."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.clock.accounting import Auditor
from scheduling.ids import first_id_at
from scheduling.models import (
    DedupeKey,
    DueWork,
    IdempotencyRecord,
    Miss,
    Run,
    RunEnd,
    Schedule,
)
from scheduling.schedules.models import ScheduleState
from scheduling.triggers.run_ends import act_on_run_ends
from tests.factories import DueWorkFactory, RunFactory, ScheduleFactory, StepRunFactory, TaskFactory
from tests.invariants import broken_invariants
from tests.workers_support import database, run
from workers.models import Retention, StepRun, Wait
from workers.retention import turns
from workers.retention.kinds import KINDS

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)
_numbers = iter(range(1, 1 << 60))


def id_of(age):
    """An id that was made so long ago, after all others of that age."""
    return type(first_id_at(datetime.now(UTC)))(int=first_id_at(datetime.now(UTC) - age).int + next(_numbers))


def ended(age, state="succeeded", **fields):
    at = datetime.now(UTC) - age
    cause = "permanent" if state == "failed" else ""
    skip = "overlap" if state == "skipped" else ""
    made = {"id": id_of(age), "state": state, "cause": cause, "skip_reason": skip, "created_at": at, "finished_at": at}
    return RunFactory(**{**made, **fields})


def on_retention(work):
    async def go():
        async with database("retention") as opened:
            return await work(turns.Retention(opened))

    return run(go(), within=60)


def lap(*names):
    return dict(on_retention(lambda retention: retention.lap(names or tuple(KINDS))).deleted)


def turn():
    found = on_retention(lambda retention: retention.turn())
    return None if found is None else dict(found.deleted)


def alive(*runs):
    return {each.pk for each in runs} & set(Run.objects.values_list("pk", flat=True))


def test_each_state_is_kept_as_long_as_its_setting_says():
    young = [ended(29 * DAY), ended(89 * DAY, "failed"), ended(29 * DAY, "canceled"), ended(29 * DAY, "skipped")]
    for age, state in ((31, "succeeded"), (91, "failed"), (31, "canceled"), (31, "skipped"), (31, "missed")):
        ended(age * DAY, state)

    deleted = lap()

    assert deleted == {"succeeded": 1, "failed": 1, "canceled": 1, "skipped": 2}
    assert set(Run.objects.values_list("pk", flat=True)) == {each.pk for each in young}


def test_zero_keeps_for_ever(settings):
    settings.ORDINAUT_KEEP_SUCCEEDED = timedelta(0)
    old = ended(4000 * DAY)
    gone = ended(4000 * DAY, "canceled")

    turn()

    assert alive(old, gone) == {old.pk}


def test_a_run_that_was_made_long_ago_and_has_just_ended_stays():
    waited = ended(40 * DAY, finished_at=datetime.now(UTC))

    assert lap() == {}
    assert alive(waited)


def test_live_runs_stay_however_old():
    queued = DueWorkFactory(run=RunFactory(id=id_of(400 * DAY)))

    assert lap() == {}
    assert alive(queued.run)


def test_steps_and_waits_go_with_their_run():
    old, young = ended(31 * DAY), ended(1 * DAY)
    for each in (old, young):
        StepRunFactory(run=each)
        StepRunFactory(run=each)
        Wait.objects.create(run=each, path="a", kind="timer", wake_at=datetime.now(UTC))

    lap("succeeded")

    assert set(StepRun.objects.values_list("run_id", flat=True)) == {young.pk}
    assert set(Wait.objects.values_list("run_id", flat=True)) == {young.pk}
    assert broken_invariants() == {}


def test_long_journals_are_deleted_in_several_statements(settings, monkeypatch):
    settings.ORDINAUT_RETENTION_BATCH = 4
    monkeypatch.setattr(turns, "STEPS_PER_ROW", 1)
    for _ in range(5):
        old = ended(31 * DAY)
        for _ in range(3):
            StepRunFactory(run=old)

    assert lap("succeeded") == {"succeeded": 5}
    assert not StepRun.objects.exists()


def test_many_batches_make_a_lap_and_the_mark_stands_at_what_is_too_young(settings):
    settings.ORDINAUT_RETENTION_BATCH = 2
    for number in range(25):
        ended((60 - number) * DAY)
    young = ended(1 * DAY)

    assert lap("succeeded") == {"succeeded": 25}
    assert alive(young)
    mark = Retention.objects.get(kind="succeeded")
    assert (mark.turn_deleted, mark.deleted_count, mark.is_resting) == (25, 25, True)


def test_a_walk_that_rests_goes_on_where_it_was_and_the_next_lap_meets_what_it_passed(settings):
    first, passed = ended(60 * DAY), DueWorkFactory(run=RunFactory(id=id_of(50 * DAY)))
    ended(40 * DAY)
    assert lap("succeeded") == {"succeeded": 2}
    DueWork.objects.all().delete()
    Run.objects.filter(pk=passed.run_id).update(state="succeeded", finished_at=datetime.now(UTC) - 45 * DAY)
    Retention.objects.update(turn_at=datetime.now(UTC) - DAY / 24)
    behind = ended(35 * DAY)

    assert turn() == {"succeeded": 1}
    assert alive(first, behind, passed.run) == {passed.run_id}

    Retention.objects.update(turn_at=datetime.now(UTC) - 2 * DAY, lap_at=datetime.now(UTC) - 2 * DAY)
    assert turn() == {"succeeded": 1}
    assert not alive(passed.run)


def test_a_new_lap_begins_where_the_last_one_first_met_something_that_stays():
    for _ in range(3):
        ended(60 * DAY)
    kept = ended(50 * DAY, "failed")
    lap("succeeded")

    assert Retention.objects.get(kind="succeeded").lap_start == str(kept.pk)


def test_a_second_turn_within_the_minute_is_nobodys():
    assert turn() == {}
    ended(31 * DAY)

    assert turn() == {}
    assert Run.objects.count() == 1


def test_a_turn_stops_when_its_time_is_over_and_the_next_goes_on(settings):
    settings.ORDINAUT_RETENTION_BATCH = 1
    settings.ORDINAUT_RETENTION_BUDGET = timedelta(microseconds=1)
    for _ in range(3):
        ended(31 * DAY)

    assert turn() == {"succeeded": 1}
    assert Run.objects.count() == 2

    Retention.objects.update(turn_at=datetime.now(UTC) - DAY)
    assert turn() == {"succeeded": 1}


def test_a_budget_of_zero_turns_retention_off_here(settings):
    settings.ORDINAUT_RETENTION_BUDGET = timedelta(0)
    old = ended(400 * DAY)

    assert turn() is None
    assert alive(old)


# What something still refers to


@pytest.mark.parametrize("field", ["parent", "replay_of"])
def test_a_run_that_a_live_run_names_stays_until_that_has_ended(field):
    source = ended(400 * DAY)
    child = DueWorkFactory(run=RunFactory(**{field: source}))

    assert lap("succeeded") == {}

    Run.objects.filter(pk=child.run_id).update(state="succeeded", finished_at=datetime.now(UTC))
    DueWork.objects.all().delete()
    assert lap("succeeded") == {"succeeded": 1}
    child.run.refresh_from_db()
    assert getattr(child.run, f"{field}_id") is None


def test_a_run_that_a_live_parent_waits_for_stays():
    parent = DueWorkFactory(run=RunFactory(id=id_of(500 * DAY), state="waiting"))
    child = ended(400 * DAY, parent=parent.run)

    assert lap() == {}
    assert alive(child)


def test_parent_and_child_that_are_both_old_go_together():
    parent = ended(400 * DAY)
    ended(399 * DAY, parent=parent, replay_of=parent)

    assert lap() == {"succeeded": 2}
    assert broken_invariants() == {}


def test_a_run_that_a_deduplication_key_names_stays_until_its_window_is_over():
    old = ended(400 * DAY)
    key = DedupeKey.objects.create(task=old.task, key="k", run=old, expires_at=datetime.now(UTC) + DAY)

    assert lap() == {}

    key.expires_at = datetime.now(UTC)
    key.save()
    assert lap() == {"succeeded": 1, "dedupe_keys": 1}


def test_a_run_whose_end_nobody_has_acted_on_stays():
    old = ended(400 * DAY)
    end = RunEnd.objects.create(run=old, task=old.task, created_at=old.finished_at)

    assert lap() == {}

    end.delete()
    assert lap() == {"succeeded": 1}


def test_a_run_that_its_schedule_has_not_been_accounted_for_stays():
    at = datetime.now(UTC) - 40 * DAY
    schedule = ScheduleFactory(accounted_until=at - DAY)
    old = ended(40 * DAY, schedule=schedule, task=schedule.task, trigger_kind="schedule", scheduled_for=at)

    assert lap() == {}

    schedule.accounted_until = at
    schedule.save()
    assert lap() == {"succeeded": 1}
    assert not alive(old)


@pytest.mark.parametrize("state", ScheduleState.values)
@pytest.mark.parametrize("kept", ["runs", "misses"])
def test_retention_takes_nothing_that_the_auditor_still_asks_for(state, kept):
    """In whatever state, and when that has ended: runs beyond `keep_runs`, and misses of a certain age."""
    mark = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    occurrences = [mark - timedelta(hours=hours) for hours in range(2, 8)]
    task = TaskFactory(keep_runs=1)
    schedule = ScheduleFactory(
        task=task,
        expression="0 * * * *",
        state=state,
        accounted_until=occurrences[-1] - timedelta(microseconds=1),
        next_fire_at=None if state == "completed" else mark - timedelta(hours=1),
        ends_at=occurrences[0],
    )
    for at in occurrences:
        if kept == "runs":
            ended(timedelta(minutes=2), task=task, schedule=schedule, trigger_kind="schedule", scheduled_for=at)
        else:
            Miss.objects.create(
                schedule=schedule, first_at=at, last_at=at, count=1, reason="paused", recorded_at=at - 91 * DAY
            )

    assert lap("surplus", "misses") == {}
    assert Auditor().round(spend=5) == 0

    deleted = lap("surplus", "misses")
    Schedule.objects.filter(pk=schedule.pk).exclude(state="completed").update(state="active")

    assert deleted == ({"surplus": 5} if kept == "runs" else {"misses": 6})
    assert Auditor().round(spend=5) == 0


def test_as_many_of_the_newest_ends_as_pause_a_task_after_failures_stay():
    task = TaskFactory(pause_after_failures=2)
    ended(400 * DAY, task=task)
    newest, failure = ended(399 * DAY, task=task), ended(380 * DAY, "failed", task=task)

    assert lap() == {"succeeded": 1}
    assert alive(newest, failure) == {newest.pk, failure.pk}

    ended(379 * DAY, "failed", task=task)
    assert lap() == {"succeeded": 1}
    assert alive(newest, failure) == {failure.pk}


@pytest.mark.parametrize("kept", [{"keep_runs": 1}, {"keep_for": timedelta(minutes=1)}])
def test_a_task_that_keeps_few_runs_is_paused_after_failures_all_the_same(kept):
    task = TaskFactory(pause_after_failures=3, **kept)
    ended(timedelta(hours=9), task=task)
    for hours in (8, 7, 6):
        failed = ended(timedelta(hours=hours), "failed", task=task)
        RunEnd.objects.create(run=failed, task=task)
        while act_on_run_ends():
            pass
        lap("surplus")

    task.refresh_from_db()
    assert task.state == "paused"
    assert task.pause_reason.startswith("3 runs in a row have failed")
    assert task.runs.count() == 3


def test_ends_that_count_for_no_pause_go():
    resumed_at = datetime.now(UTC) - 300 * DAY
    task = TaskFactory(pause_after_failures=2, resumed_at=resumed_at)
    ended(400 * DAY, "failed", task=task)
    ended(299 * DAY, "failed", task=task, simulated=True)
    ended(298 * DAY, "failed", task=task, is_backfilled=True)
    ended(297 * DAY, "failed", task=task, trigger_kind="check")
    ended(296 * DAY, "canceled", task=task)
    counts = ended(295 * DAY, "failed", task=task)

    assert lap() == {"failed": 4, "canceled": 1}
    assert alive(counts)


def test_a_stored_reply_names_its_run_and_does_not_hold_it():
    old = ended(31 * DAY)
    reply = IdempotencyRecord.objects.create(
        actor_id="a",
        key="k",
        fingerprint="f",
        status=201,
        body={"id": str(old.pk)},
        expires_at=old.created_at + 60 * DAY,
    )

    assert lap() == {"succeeded": 1}
    reply.refresh_from_db()
    assert reply.body == {"id": str(old.pk)}
