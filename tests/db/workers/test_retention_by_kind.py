"""What retention deletes besides runs, what a preview of it says, and rows that hosts with wrong clocks have made."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

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
)
from tests.db.workers.test_retention import DAY, ended, id_of, lap, on_retention, turn
from tests.factories import DueWorkFactory, RunFactory, ScheduleFactory, StepRunFactory, TaskFactory, WorkerFactory
from tests.invariants import broken_invariants
from workers.models import Artifact, Retention, StepRun, Worker
from workers.retention import turns
from workers.retention.kinds import KINDS

pytestmark = pytest.mark.django_db(transaction=True)


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
