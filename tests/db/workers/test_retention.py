"""What retention deletes, what it leaves alone on purpose, and where its walk stands afterwards."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from scheduling.clock.accounting import Auditor
from scheduling.ids import first_id_at
from scheduling.models import (
    ConcurrencyKey,
    DedupeKey,
    DueWork,
    Event,
    IdempotencyRecord,
    Miss,
    Outbox,
    RateBucket,
    Run,
    RunEnd,
    Schedule,
)
from scheduling.schedules.models import ScheduleState
from scheduling.triggers.run_ends import act_on_run_ends
from tests.factories import DueWorkFactory, RunFactory, ScheduleFactory, StepRunFactory, TaskFactory, WorkerFactory
from tests.invariants import broken_invariants
from tests.workers_support import database, run
from workers.models import Artifact, Retention, StepRun, Wait, Worker
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


@pytest.mark.parametrize("name", ["succeeded", "events"])
def test_what_a_late_clock_has_made_behind_the_walk_is_met_by_the_first_lap_of_a_week(name):
    """Its id is of the past, and nothing else of it."""
    made = {"succeeded": ended, "events": event}[name]
    made(50 * DAY)
    assert lap(name) == {name: 1}
    behind = made(31 * DAY, id=id_of(90 * DAY))
    a_lap_ago = turns._EPOCH + ((datetime.now(UTC) - turns._EPOCH) // turns.WHOLE_LAP_EVERY - 1) * turns.WHOLE_LAP_EVERY
    Retention.objects.update(turn_at=a_lap_ago, lap_at=a_lap_ago)

    assert turn() == {name: 1}
    assert not type(behind).objects.filter(pk=behind.pk).exists()


def test_what_a_late_clock_has_made_behind_the_walk_is_met_by_a_lap_that_somebody_asks_for():
    ended(50 * DAY)
    assert lap("succeeded") == {"succeeded": 1}
    ended(31 * DAY, id=id_of(90 * DAY))

    assert lap("succeeded") == {"succeeded": 1}


def test_other_laps_of_a_week_begin_where_something_stays():
    begun = datetime(2026, 11, 27, tzinfo=UTC)
    mark = turns.Mark(cursor="9", lap_start="5", lap_at=begun, is_resting=True)

    starts = [mark.begun(KINDS["misses"], now=begun + days * DAY).cursor for days in range(8)]

    assert sorted(set(starts)) == ["0", "5", "9"]
    assert starts == sorted(starts, key=["9", "5", "0"].index)
    assert mark.begun(KINDS["misses"], now=begun + 7 * DAY).cursor == "0"


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


# Tasks that keep less, or more


def test_a_task_keeps_its_newest_runs():
    task, other = TaskFactory(keep_runs=2), TaskFactory()
    mine = [ended(timedelta(hours=9 - n), state, task=task) for n, state in enumerate(["succeeded", "failed"] * 3)]
    theirs = [ended(timedelta(hours=9), task=other) for _ in range(3)]

    assert lap() == {"surplus": 4}
    assert alive(*mine, *theirs) == {each.pk for each in [*mine[-2:], *theirs]}


def test_which_runs_are_the_newest_of_a_task_the_clock_of_the_database_says(settings):
    """Some hosts' clocks are ahead and others late, by more runs than a batch has: then it may take another lap."""
    settings.ORDINAUT_RETENTION_BATCH = 2
    task, hour = TaskFactory(keep_runs=3), timedelta(hours=1)
    clocks = [hour, timedelta(0), -hour]
    runs = [ended(age * hour / 4, task=task, id=id_of(age * hour / 4 - clocks[age % 3])) for age in range(20, 0, -1)]

    newest = {each.pk for each in runs[-3:]}
    assert lap("surplus")["surplus"] > 10
    assert alive(*runs) >= newest
    lap("surplus")
    assert alive(*runs) == newest


def test_runs_that_were_made_at_once_are_counted_one_by_one():
    task, at = TaskFactory(keep_runs=2), datetime.now(UTC) - DAY
    for _ in range(5):
        ended(DAY, task=task, created_at=at)

    assert lap("surplus") == {"surplus": 3}


def test_a_live_run_is_among_the_newest_and_never_surplus():
    task = TaskFactory(keep_runs=1)
    old_and_live = DueWorkFactory(run=RunFactory(id=id_of(5 * DAY), task=task))
    gone = ended(2 * DAY, task=task)
    newest = DueWorkFactory(run=RunFactory(task=task))

    assert lap() == {"surplus": 1}
    assert alive(old_and_live.run, gone, newest.run) == {old_and_live.run_id, newest.run_id}


def test_a_task_keeps_its_runs_for_less_time_or_for_more():
    brief, long = TaskFactory(keep_for=DAY), TaskFactory(keep_for=400 * DAY)
    gone, young = ended(2 * DAY, "failed", task=brief), ended(DAY / 2, task=brief)
    late = ended(2 * DAY, task=brief, finished_at=datetime.now(UTC))
    kept, beyond = ended(300 * DAY, task=long), ended(401 * DAY, task=long)

    assert sum(lap().values()) == 2
    assert alive(gone, young, late, kept, beyond) == {young.pk, late.pk, kept.pk}


def test_surplus_of_several_tasks_is_deleted_over_several_batches(settings):
    settings.ORDINAUT_RETENTION_BATCH = 2
    tasks = [TaskFactory(keep_runs=1) for _ in range(5)]
    for task in tasks:
        for hours in range(4):
            ended(timedelta(hours=hours), task=task)

    assert lap("surplus") == {"surplus": 15}
    assert Run.objects.count() == 5


def test_surplus_that_something_refers_to_does_not_hold_up_the_others(settings):
    settings.ORDINAUT_RETENTION_BATCH = 1
    tasks = sorted((TaskFactory(keep_runs=1) for _ in range(2)), key=lambda task: task.pk)
    for task in tasks:
        old, _ = ended(2 * DAY, task=task), ended(1 * DAY, task=task)
        if task is tasks[0]:
            DueWorkFactory(run=RunFactory(replay_of=old))

    assert lap("surplus") == {"surplus": 1}


def test_a_batch_of_surplus_that_all_stays_does_not_hold_up_the_rest_of_its_task(settings):
    settings.ORDINAUT_RETENTION_BATCH = 2
    task = TaskFactory(keep_runs=1)
    held, gone = [ended(timedelta(hours=9), task=task) for _ in range(5)], [ended(DAY / 3, task=task) for _ in range(5)]
    newest = ended(DAY / 4, task=task)
    for number, each in enumerate(held):
        DedupeKey.objects.create(task=task, key=f"{number}", run=each, expires_at=datetime.now(UTC) + DAY)

    assert lap("surplus") == {"surplus": 5}
    assert alive(*held, *gone, newest) == {each.pk for each in [*held, newest]}
    assert lap("surplus") == {}


# Other kinds


def event(age, **fields):
    made = {"id": id_of(age), "topic": "t", "created_at": datetime.now(UTC) - age}
    return Event.objects.create(**{**made, **fields})


def test_events_go_that_no_run_names_and_that_redis_has():
    gone, young, waiting, named = event(31 * DAY), event(29 * DAY), event(31 * DAY), event(31 * DAY)
    Outbox.objects.create(event=waiting)
    RunFactory(event=named, state="succeeded", finished_at=datetime.now(UTC))

    assert lap() == {"events": 1}
    assert set(Event.objects.all()) == {young, waiting, named}
    assert not Event.objects.filter(pk=gone.pk).exists()


WAITS = {"version": 1, "steps": [{"id": "paid", "wait_for_event": {"topic": "order.paid"}}]}


def live(age, **fields):
    """A run that was made so long ago and has not ended."""
    return DueWorkFactory(run=RunFactory(id=id_of(age), created_at=datetime.now(UTC) - age, **fields))


def test_an_event_that_a_live_run_may_yet_wait_for_stays():
    work = live(40 * DAY, task=TaskFactory(document=WAITS))
    live(45 * DAY)
    before, within = event(41 * DAY), event(39 * DAY)

    assert lap() == {"events": 1}
    assert list(Event.objects.all()) == [within]
    assert before.pk != within.pk

    DueWork.objects.filter(pk=work.pk).delete()
    assert lap("events") == {"events": 1}


def test_of_many_old_live_runs_those_that_are_not_looked_at_are_taken_for_such_as_wait():
    live(60 * DAY)
    task = TaskFactory()
    Run.objects.bulk_create(
        RunFactory.build(
            id=id_of(50 * DAY),
            created_at=datetime.now(UTC) - 50 * DAY,
            task=task,
            revision=task.current_revision,
            agent=task.agent,
        )
        for _ in range(1000)
    )
    DueWork.objects.bulk_create(
        DueWork(run=each, task=task, queue="default", priority=5, available_at=each.created_at)
        for each in Run.objects.filter(task=task)
    )
    before, behind = event(52 * DAY), event(49 * DAY)

    assert lap("events") == {"events": 1}
    assert list(Event.objects.all()) == [behind]
    assert before.pk != behind.pk


def artifact(digest, age):
    return Artifact.objects.create(digest=digest * 64, content=b"x", size=1, created_at=datetime.now(UTC) - age)


def test_artifacts_go_that_no_step_names_after_an_hour():
    hour = timedelta(hours=1)
    artifact("a", 2 * hour)
    named, young = artifact("b", 2 * hour), artifact("c", hour / 2)
    StepRunFactory(run=ended(DAY), output_artifact=named.pk)

    assert lap() == {"artifacts": 1}
    assert set(Artifact.objects.all()) == {named, young}


def test_the_artifacts_of_a_deleted_run_go_unless_another_names_them():
    hour = timedelta(hours=2)
    shared, own = artifact("a", hour), artifact("b", hour)
    old, young = ended(31 * DAY), ended(DAY)
    for each, held in ((old, own), (old, shared), (young, shared)):
        StepRunFactory(run=each, output_artifact=held.pk)

    assert lap() == {"succeeded": 1, "artifacts": 1}
    assert list(Artifact.objects.all()) == [shared]
    assert broken_invariants() == {}


def test_misses_executions_and_workers_go_by_their_age():
    schedule = ScheduleFactory(accounted_until=datetime.now(UTC))
    at = datetime.now(UTC) - 91 * DAY
    miss = {"schedule": schedule, "first_at": at, "last_at": at, "count": 1, "reason": "policy_skip"}
    Miss.objects.create(**miss, recorded_at=at)
    Miss.objects.create(**miss)
    WorkerFactory(state="stopped", stopped_at=datetime.now(UTC) - 8 * DAY)
    WorkerFactory(state="lost", stopped_at=datetime.now(UTC) - 8 * DAY)
    holder = WorkerFactory(state="lost", stopped_at=datetime.now(UTC) - 8 * DAY)
    DueWorkFactory(lease_owner=holder.pk, lease_epoch=1, claimed_at=datetime.now(UTC))
    living = WorkerFactory(), WorkerFactory(state="stopped", stopped_at=datetime.now(UTC))
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_apscheduler_djangojob (id, job_state) VALUES ('j', '')")
        cursor.execute(
            "INSERT INTO django_apscheduler_djangojobexecution (job_id, status, run_time)"
            " VALUES ('j', 'Executed', now() - interval '8 days'), ('j', 'Executed', now())"
        )

    assert lap() == {"misses": 1, "executions": 1, "workers": 2}
    assert set(Worker.objects.all()) == {holder, *living}


def test_a_miss_that_its_schedule_has_not_been_accounted_for_stays():
    at = datetime.now(UTC) - 91 * DAY
    schedule = ScheduleFactory(accounted_until=at - DAY)
    Miss.objects.create(schedule=schedule, first_at=at, last_at=at, count=1, reason="policy_skip", recorded_at=at)

    assert lap() == {}


def test_expired_replies_and_keys_go():
    now, task = datetime.now(UTC), TaskFactory()
    for number, expires_at in enumerate((now - DAY, now + DAY)):
        IdempotencyRecord.objects.create(
            actor_id="a", key=f"{number}", fingerprint="f", status=200, expires_at=expires_at
        )
        DedupeKey.objects.create(task=task, key=f"{number}", run_id=id_of(DAY), expires_at=expires_at)

    assert lap() == {"replies": 1, "dedupe_keys": 1}
    assert IdempotencyRecord.objects.get().key == DedupeKey.objects.get().key == "1"


def key(name, **rate):
    return ConcurrencyKey.objects.create(key=name, limit=1, **rate)


def test_keys_that_nobody_holds_or_waits_for_go_with_what_is_left_of_their_rate():
    now, rate = datetime.now(UTC), {"rate_limit": 5, "rate_period": timedelta(hours=1)}
    for name in ("held", "waits", "overlaps", "paused", "suspected", "idle"):
        key(name)
    for name, ago in (("owes", timedelta(minutes=59)), ("full", timedelta(minutes=61))):
        key(name, **rate)
        RateBucket.objects.create(key=f"key:{name}", tokens=0, refilled_at=now - ago)
    DueWorkFactory(concurrency_key="held")
    for name, gate in (("waits", "key"), ("overlaps", "overlap"), ("paused", "paused"), ("suspected", "suspect")):
        DueWorkFactory(concurrency_key=name, gate=gate)

    assert lap() == {"keys": 2}

    left = {"held", "waits", "overlaps", "paused", "suspected", "owes"}
    assert set(ConcurrencyKey.objects.values_list("key", flat=True)) == left
    assert [bucket.key for bucket in RateBucket.objects.all()] == ["key:owes"]


def test_more_keys_than_a_batch_go_in_one_lap(settings):
    settings.ORDINAUT_RETENTION_BATCH = 3
    ConcurrencyKey.objects.bulk_create(ConcurrencyKey(key=f"customer {number}", limit=1) for number in range(40))
    for number in range(0, 40, 4):
        DueWorkFactory(concurrency_key=f"customer {number}")

    assert lap("keys") == {"keys": 30}
    assert ConcurrencyKey.objects.count() == 10


def test_a_key_may_be_as_long_as_keys_may_be():
    """The mark of its walk is the key itself."""
    names = [f"{number}:{'k' * 297}" for number in range(3)]
    for name in names:
        key(name)
    DueWorkFactory(concurrency_key=names[1])

    assert lap("keys") == {"keys": 2}
    assert Retention.objects.get(kind="keys").cursor == names[-1]


def test_a_kind_that_the_database_refuses_to_delete_stops_no_other(monkeypatch, capsys):
    ended(40 * DAY)
    broken = replace(KINDS["keys"], lock=b"SELECT (1 / 0)::text")
    monkeypatch.setitem(KINDS, "keys", broken)

    turn = on_retention(lambda retention: retention.lap(tuple(KINDS)))

    assert dict(turn.deleted) == {"succeeded": 1}
    assert list(turn.failed) == ["keys"]
    with pytest.raises(CommandError, match="refuses to delete of keys"):
        call_command("prune")


def test_a_key_that_was_taken_while_it_was_being_locked_stays():
    """Its due work was committed after the statement that looked for idle keys had begun."""
    key("taken")
    DueWorkFactory(concurrency_key="taken")
    too_late = replace(KINDS["keys"], lock=b"SELECT unnest(ARRAY['taken', 'gone'])")

    async def delete(retention):
        async with retention._database.transaction() as connection:
            return await turns.delete_batch(
                connection, too_late, after="", now=datetime.now(UTC), limit=10, steps=turns.ALL_STEPS
            )

    assert on_retention(delete).deleted == 0
    assert ConcurrencyKey.objects.get().key == "taken"


def test_a_preview_counts_what_a_lap_would_delete_and_deletes_nothing(monkeypatch):
    monkeypatch.setattr(turns, "PREVIEWED", 2)
    for _ in range(5):
        StepRunFactory(run=ended(31 * DAY))
        event(40 * DAY)
    DueWorkFactory(run=RunFactory(replay_of=ended(31 * DAY)))
    ended(1 * DAY)
    artifact("a", DAY)

    found = on_retention(lambda retention: retention.preview(KINDS))

    assert +found == {"succeeded": 5, "events": 5, "artifacts": 1}
    assert (Run.objects.count(), StepRun.objects.count(), Event.objects.count()) == (8, 5, 5)
    assert DueWork.objects.get().run.replay_of_id is not None


def test_a_preview_counts_more_than_a_batch_of_each_kind(monkeypatch):
    monkeypatch.setattr(turns, "PREVIEWED", 2)
    now, wordy, quiet = datetime.now(UTC), TaskFactory(keep_runs=1), TaskFactory(keep_for=DAY)
    for number in range(5):
        IdempotencyRecord.objects.create(
            actor_id="a", key=f"{number}", fingerprint="f", status=200, expires_at=now - DAY
        )
        WorkerFactory(state="stopped", stopped_at=now - 8 * DAY)
    for task in (wordy, quiet):
        for _ in range(6):
            ended(2 * DAY, task=task)
    wanted = {"surplus": 11, "replies": 5, "workers": 5}

    assert +on_retention(lambda retention: retention.preview(KINDS)) == wanted
    assert lap() == wanted


def test_what_is_kept_for_longer_than_there_was_time_bounds_nothing():
    assert first_id_at(datetime(1950, 1, 1, tzinfo=UTC)) == first_id_at(datetime(1970, 1, 1, tzinfo=UTC))
