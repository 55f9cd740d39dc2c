"""Passes that meet the locks of others, hung statements, deadlocks and another release's tables: others still fire."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import Error, OperationalError, ProgrammingError, connection, connections, transaction
from django.db.models import F

from scheduling.backfills.pacing import BackfillPacer
from scheduling.clock import lanes, metrics, overdue, session
from scheduling.clock.firing import run_pass
from scheduling.clock.isolation import SteppedOver
from scheduling.clock.jobs import end_snoozes
from scheduling.clock.loop import Clock
from scheduling.events.models import Event
from scheduling.instants import database_now
from scheduling.models import Run, RunEnd, Schedule, Task
from scheduling.schedules.models import ScheduleState
from scheduling.triggers.run_ends import RunEnds
from tests.factories import BackfillFactory, RunFactory, ScheduleFactory, TaskFactory
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def short_limits(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_LOCK_TIMEOUT = timedelta(milliseconds=100)
    settings.ORDINAUT_CLOCK_STATEMENT_TIMEOUT = timedelta(milliseconds=500)


@contextmanager
def somebody_holds(statement: str, *parameters: Any) -> Iterator[Any]:
    """A second connection that has executed the statement and does not commit."""
    other = connections.create_connection("default")
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(statement, parameters)
        yield other
    finally:
        # A server that is only told of the end of a connection lets go of the locks some time later.
        with suppress(Error):
            other.rollback()
        other.close()


@contextmanager
def inserts_of_runs_do(body: str) -> Iterator[None]:
    """A trigger on the table of runs, and a sequence `calls` that counts it: a sequence is never rolled back."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE calls")
        cursor.execute(
            f"CREATE FUNCTION obstruct() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER obstruct BEFORE INSERT ON scheduling_run FOR EACH ROW EXECUTE FUNCTION obstruct()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER obstruct ON scheduling_run")
            cursor.execute("DROP FUNCTION obstruct")
            cursor.execute("DROP SEQUENCE calls")


def due(task: Task | None = None, *, overlap: str = "allow") -> Schedule:
    """A schedule with one occurrence, a moment ago."""
    at = datetime.now(UTC)
    task = task or TaskFactory(overlap=overlap)
    return ScheduleFactory(task=task, kind="once", expression=at.isoformat(), next_fire_at=at)


def faults(kind: str) -> float:
    return metrics.FAULTS.labels(kind)._value.get()


def test_a_locked_task_holds_up_its_own_schedules_only_and_fires_when_it_is_free() -> None:
    free = [due() for _ in range(20)] + [due(overlap="skip") for _ in range(20)]
    blocked = due(overlap="skip")
    before = faults("lock_timeout")
    now = [0.0]
    stepped_over = SteppedOver(now=lambda: now[0])

    with somebody_holds("SELECT FROM scheduling_task WHERE id = %s FOR UPDATE", blocked.task_id):
        result = run_pass(stepped_over=stepped_over)
        assert (result.runs, result.stepped_over, result.quarantined) == (len(free), 1, 0)
        assert run_pass(stepped_over=stepped_over).schedules == 0

    now[0] += 2
    assert run_pass(stepped_over=stepped_over).runs == 1
    assert set(Run.objects.values_list("schedule", flat=True)) == {schedule.id for schedule in (*free, blocked)}
    assert not Schedule.objects.filter(state=ScheduleState.QUARANTINED).exists()
    assert faults("lock_timeout") > before


def test_a_locked_task_that_fills_the_batch_does_not_hide_the_others() -> None:
    task = TaskFactory(overlap="queue_all")
    for _ in range(20):
        due(task)
    other = due()
    stepped_over = SteppedOver()

    with somebody_holds("SELECT FROM scheduling_task WHERE id = %s FOR UPDATE", task.id):
        first = run_pass(batch=10, stepped_over=stepped_over)
        second = run_pass(batch=10, stepped_over=stepped_over)

    assert (first.stepped_over, second.runs) == (10, 1)
    assert Run.objects.get().schedule_id == other.id


def test_what_waits_for_a_key_of_its_task_is_stepped_over_alone() -> None:
    blocked = due(TaskFactory(dedupe_key="one", dedupe_window=timedelta(hours=1)))
    other = due()

    with somebody_holds(
        "INSERT INTO scheduling_dedupekey (task_id, key, run_id, expires_at) VALUES (%s, 'one', %s, now())",
        blocked.task_id,
        blocked.id,
    ):
        result = run_pass()

    assert (result.runs, result.stepped_over) == (1, 1)
    assert Run.objects.get().schedule_id == other.id


def test_a_schedule_that_somebody_edits_is_left_to_them_without_a_wait() -> None:
    other = due()
    edited = due()

    with somebody_holds("UPDATE scheduling_schedule SET version = version + 1 WHERE id = %s", edited.id):
        result = run_pass()
        again = run_pass()

    assert (result.runs, result.stepped_over) == (1, 0)
    assert again.is_fruitless
    assert Run.objects.get().schedule_id == other.id


def test_a_hung_statement_is_cut_off_and_only_its_schedule_waits() -> None:
    hung = due()
    others = [due() for _ in range(3)]
    before = faults("statement_timeout")

    with inserts_of_runs_do(f"IF NEW.schedule_id = '{hung.id}' THEN PERFORM pg_sleep(600); END IF;"):
        result = run_pass()

    assert (result.runs, result.stepped_over, result.quarantined) == (len(others), 1, 0)
    assert faults("statement_timeout") > before
    assert run_pass().runs == 1


@pytest.mark.parametrize("overlap", ["allow", "skip"])
@pytest.mark.parametrize("hangs", [1, 3])
def test_a_hung_statement_is_found_though_it_may_take_longer_than_the_search(
    overlap: str, hangs: int, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.ORDINAUT_CLOCK_STATEMENT_TIMEOUT = timedelta(seconds=1.5)
    # All three at three tenths of what they are in earnest.
    monkeypatch.setattr(lanes, "SEARCH_FOR", 2.4)
    monkeypatch.setattr(session, "SEARCHING", timedelta(seconds=0.15))
    schedules = [due(overlap=overlap) for _ in range(40)]
    hung = {str(each.id) for each in schedules[10 : 10 + hangs]}
    left_alone = SteppedOver()

    with inserts_of_runs_do(f"IF NEW.schedule_id = ANY('{{{','.join(hung)}}}') THEN PERFORM pg_sleep(600); END IF;"):
        began = time.monotonic()
        runs = 0
        while runs < 40 - hangs and time.monotonic() - began < 20:
            result = run_pass(stepped_over=left_alone)
            runs += result.runs
        took = time.monotonic() - began
        newcomer = due(overlap=overlap)
        began = time.monotonic()
        assert run_pass(stepped_over=left_alone).runs == 1
        assert time.monotonic() - began < 1.4, "whoever hangs is known, and waited for briefly"

    assert runs == 40 - hangs
    assert took < (6 if hangs == 1 else 10)
    fired = set(Run.objects.values_list("schedule_id", flat=True))
    assert fired == {each.id for each in [*schedules, newcomer] if str(each.id) not in hung}
    assert not Schedule.objects.filter(state=ScheduleState.QUARANTINED).exists()


@pytest.mark.parametrize(("code", "kind"), [("40P01", "deadlock"), ("40001", "serialization")])
def test_a_transaction_that_lost_against_another_is_tried_again_and_nobody_is_blamed(code: str, kind: str) -> None:
    for _ in range(3):
        due()
    before = faults(kind)

    with inserts_of_runs_do(f"IF nextval('calls') <= 2 THEN RAISE EXCEPTION 'lost' USING ERRCODE = '{code}'; END IF;"):
        result = run_pass()

    assert (result.runs, result.stepped_over, result.quarantined) == (3, 0, 0)
    assert faults(kind) == before + 2


def test_who_always_loses_is_stepped_over_and_never_quarantined() -> None:
    loser = due()
    due()

    with inserts_of_runs_do(
        f"IF NEW.schedule_id = '{loser.id}' THEN RAISE EXCEPTION 'lost' USING ERRCODE = '40P01'; END IF;"
    ):
        result = run_pass()

    loser.refresh_from_db()
    assert (result.runs, result.stepped_over) == (1, 1)
    assert loser.state == ScheduleState.ACTIVE


def test_a_table_that_is_locked_fails_the_pass_and_blames_nobody() -> None:
    for _ in range(8):
        due()

    with somebody_holds("LOCK TABLE scheduling_schedule IN ACCESS EXCLUSIVE MODE"), pytest.raises(OperationalError):
        run_pass()

    assert run_pass().runs == 8


def test_the_tables_of_another_release_quarantine_nobody() -> None:
    for _ in range(4):
        due()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE scheduling_run RENAME COLUMN triggered_by TO triggered_by_whom")
    try:
        with pytest.raises(ProgrammingError):
            run_pass()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE scheduling_run RENAME COLUMN triggered_by_whom TO triggered_by")

    assert set(Schedule.objects.values_list("state", flat=True)) == {ScheduleState.ACTIVE}
    assert run_pass().runs == 4


def test_a_locked_task_keeps_its_snooze_and_holds_up_no_other() -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    locked, free = [
        TaskFactory(state="paused", paused_at=over, paused_until=over, pause_reason="until later") for _ in range(2)
    ]

    with somebody_holds("SELECT FROM scheduling_task WHERE id = %s FOR UPDATE", locked.pk):
        assert end_snoozes() == 1

    assert set(Task.objects.filter(state="active")) == {free}
    assert end_snoozes() == 1


def shown() -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
            " current_setting('idle_in_transaction_session_timeout')"
        )
        return tuple(cursor.fetchone())


def test_the_limits_are_those_of_the_transaction_and_leave_no_trace_on_the_connection() -> None:
    before = shown()
    with session.bounded():
        assert shown() == ("500ms", "100ms", "15s")
    with transaction.atomic(), session.bounded():
        assert shown() == before

    assert shown() == before


def test_a_connection_of_the_clocks_own_keeps_the_limits_while_it_is_the_clocks() -> None:
    before = shown()
    with session.owned():
        with session.single_statement() as cursor:
            cursor.execute("SELECT 1")
        assert shown() == ("500ms", "100ms", "15s")
        with session.hurried(), session.bounded(statement=timedelta(seconds=7)):
            assert shown() == ("7s", "100ms", "15s")
        assert shown() == ("500ms", "100ms", "15s")
        connection.close()
        assert shown() == before
        with session.bounded():
            assert shown() == ("500ms", "100ms", "15s")

    assert shown() == before


def test_a_connection_that_is_opened_in_a_hurry_keeps_the_usual_limits(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_LOCK_TIMEOUT = timedelta(seconds=2)
    with session.owned():
        with session.hurried(timedelta(milliseconds=50)), session.bounded():
            assert shown()[1] == "50ms"
        assert shown()[1] == "2s"


def test_behind_a_pooler_no_limit_is_left_on_a_connection_that_others_will_get(monkeypatch: pytest.MonkeyPatch) -> None:
    # As PgBouncer does: at the start of a session it names a process that is none of the server's.
    monkeypatch.setattr(session, "_SERVER_PROCESS", "SELECT pg_backend_pid() + 1")
    before = shown()
    with session.owned():
        with session.single_statement() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            assert cursor.fetchone() == ("500ms",)
        assert shown() == before


def test_the_loop_takes_fewer_at_once_after_a_time_out_and_says_what_went_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(batch=100)
    due()
    monkeypatch.setattr(clock._stopping, "wait", lambda seconds: clock.stop())

    with somebody_holds("LOCK TABLE scheduling_schedule IN ACCESS EXCLUSIVE MODE"):
        clock.run()

    assert clock._allowed == 50
    is_ready, told = clock.readiness.answer()
    assert (is_ready, told["last_failure"], told["failures"]) == (False, "lock_timeout", 1)
    assert clock.run_once().runs == 1
    assert clock.readiness.answer()[0] is True
    assert clock._allowed == 100


def test_a_migration_under_a_kept_plan_quarantines_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that is kept does not fit a table that has changed: the server says so once, and not of the schedule."""
    clock = Clock()
    fired: list[int] = []
    monkeypatch.setattr(clock._stopping, "wait", lambda seconds: None)
    run_once = clock.run_once

    def pass_by_pass() -> Any:
        if len(fired) == 3:
            clock.stop()
        due()
        if len(fired) == 1:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE scheduling_task ALTER COLUMN queue TYPE varchar(140)")
        fired.append(0)
        return run_once()

    monkeypatch.setattr(clock, "run_once", pass_by_pass)
    try:
        clock.run()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE scheduling_task ALTER COLUMN queue TYPE varchar(60)")

    assert not Schedule.objects.filter(state=ScheduleState.QUARANTINED).exists()
    assert clock.readiness.answer()[1]["failures"] == 0
    assert Run.objects.count() == 4


def test_two_clocks_tell_an_occurrence_that_a_lock_holds_up_once(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_LOCK_TIMEOUT = timedelta(seconds=5)  # of the second clock, that waits for the first
    late = due(overlap="skip")
    Schedule.objects.filter(pk=late.pk).update(
        next_fire_at=F("next_fire_at") - timedelta(hours=2), misfire_grace=timedelta(days=1)
    )
    told: list[int] = []
    begin = threading.Barrier(2)

    def tell() -> None:
        try:
            begin.wait(10)
            told.append(overdue.tell_each_overdue())
        finally:
            connection.close()

    with somebody_holds("SELECT FROM scheduling_task, scheduling_schedule FOR UPDATE"):
        threads = [threading.Thread(target=tell) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    assert sorted(told) == [0, 1]
    assert Event.objects.get().payload["schedule"] == str(late.pk)


def test_snoozes_of_a_task_that_somebody_has_locked_keep_no_other_snooze_from_its_end(monkeypatch):
    """There are more of them than a batch takes."""
    monkeypatch.setattr("scheduling.clock.jobs.BATCH", 5)
    over = database_now() - timedelta(seconds=1)
    held = TaskFactory()
    for _ in range(8):
        ScheduleFactory(task=held, state="paused", paused_until=over, next_fire_at=over)
    other = ScheduleFactory(state="paused", paused_until=over + timedelta(milliseconds=1), next_fire_at=over)
    began = time.monotonic()

    with somebody_holds(f"SELECT * FROM scheduling_task WHERE id = '{held.pk}' FOR NO KEY UPDATE"):
        assert end_snoozes() == 1

    other.refresh_from_db()
    assert other.state == "active"
    assert time.monotonic() - began < 2
    assert end_snoozes() + end_snoozes() == 8


def test_what_is_slow_and_does_not_hang_is_fired(settings: Any) -> None:
    """Fifteen of them together take longer than a statement may, one of them nearly as long as the search allows."""
    settings.ORDINAUT_CLOCK_STATEMENT_TIMEOUT = timedelta(seconds=3)
    task = TaskFactory()
    for _ in range(15):
        due(task)
    left_alone = SteppedOver()

    with inserts_of_runs_do("PERFORM pg_sleep(0.4);"):
        began = time.monotonic()
        runs = 0
        while runs < 15 and time.monotonic() - began < 40:
            runs += run_pass(stepped_over=left_alone).runs

    assert runs == 15


def test_what_is_slower_than_the_search_allows_is_fired_by_a_longer_try(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_STATEMENT_TIMEOUT = timedelta(seconds=3)
    slow = due()
    others = [due() for _ in range(6)]
    left_alone = SteppedOver()

    with inserts_of_runs_do(f"IF NEW.schedule_id = '{slow.id}' THEN PERFORM pg_sleep(1.2); END IF;"):
        began = time.monotonic()
        runs = 0
        while runs < 7 and time.monotonic() - began < 40:
            runs += run_pass(stepped_over=left_alone).runs

    assert runs == 1 + len(others)


def test_a_hung_task_is_known_for_all_its_schedules() -> None:
    task = TaskFactory()
    due(task)
    left_alone = SteppedOver()
    with inserts_of_runs_do(f"IF NEW.task_id = '{task.pk}' THEN PERFORM pg_sleep(600); END IF;"):
        run_pass(stepped_over=left_alone)
        other = due()
        due(task)
        began = time.monotonic()
        result = run_pass(stepped_over=left_alone)
        took = time.monotonic() - began

    assert (result.runs, Run.objects.get().schedule_id) == (1, other.id)
    assert took < 0.4, "nothing hung in this pass"


def turns_of(act: Callable[[], object], *, seconds: float) -> list[float]:
    """Let it act again and again, in the rhythm of a clock that has nothing else to do; how long each turn took."""
    took: list[float] = []
    over_at = time.monotonic() + seconds
    while time.monotonic() < over_at:
        began = time.monotonic()
        act()
        took.append(time.monotonic() - began)
        time.sleep(0.05)  # the rhythm itself: nothing is waited for
    return took


def test_a_follower_that_hangs_holds_up_no_pass_for_long(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_STATEMENT_TIMEOUT = timedelta(seconds=5)
    hung = TaskFactory()
    followed = [TaskFactory() for _ in range(8)]
    for task in followed:
        ScheduleFactory(task=hung, kind="after", expression="success", after_task=task, next_fire_at=None)
    calm = TaskFactory()
    follower = TaskFactory()
    ScheduleFactory(task=follower, kind="after", expression="success", after_task=calm, next_fire_at=None)
    for task in [*followed, calm]:
        run = RunFactory(task=task, state="succeeded", finished_at=datetime.now(UTC))
        RunEnd.objects.create(run=run, task=task)
    ends = RunEnds()

    with inserts_of_runs_do(f"IF NEW.task_id = '{hung.pk}' THEN PERFORM pg_sleep(600); END IF;"):
        took = turns_of(ends.act, seconds=6)
        assert Run.objects.filter(task=follower).count() == 1
    assert max(took) < 2.5, "one long try a turn at the most"

    wait_until(lambda: ends.act() >= 0 and not RunEnd.objects.exists(), timeout=60, what="the ends to be acted on")
    assert Run.objects.filter(task=hung).count() == 8


def test_a_backfill_that_hangs_has_its_turn_ever_more_seldom(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_STATEMENT_TIMEOUT = timedelta(seconds=5)
    task = TaskFactory()
    schedule = ScheduleFactory(task=task)
    backfill = BackfillFactory(schedule=schedule)
    pacer = BackfillPacer()

    with inserts_of_runs_do(f"IF NEW.task_id = '{task.pk}' THEN PERFORM pg_sleep(600); END IF;"):
        took = turns_of(pacer.turn, seconds=6)
    assert sum(took) < 4.5

    backfill.refresh_from_db()
    assert backfill.state == "running"
    wait_until(lambda: pacer.turn().started > 0, timeout=60, what="the backfill to go on")
