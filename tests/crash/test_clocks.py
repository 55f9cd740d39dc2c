"""Clocks that are killed, and clocks that work side by side."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Count

from scheduling.ids import new_id
from scheduling.models import DueWork, Run, Schedule
from tests.factories import ScheduleFactory, TaskFactory
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

HOW_MANY = 1000


def make_due_schedules(at: datetime) -> list[Schedule]:
    tasks = [TaskFactory() for _ in range(10)]
    return Schedule.objects.bulk_create(
        ScheduleFactory.build(task=tasks[number % 10], kind="once", expression=at.isoformat(), next_fire_at=at)
        for number in range(HOW_MANY)
    )


@contextmanager
def uncommitted_run_of(schedule: Schedule, at: datetime) -> Iterator[Any]:
    """A second connection that has written the run of an occurrence and not committed it: a pass that comes to this
    occurrence stands in the middle of its write, with its locks held."""
    other = connections.create_connection("default")
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO scheduling_run (id, task_id, revision_id, agent_id, schedule_id, trigger_kind,
                                            scheduled_for, state, cause, skip_reason, attempt, simulated,
                                            triggered_by, created_at)
                SELECT %s, id, current_revision_id, agent_id, %s, 'schedule', %s, 'queued', '', '', 1, false, '', now()
                FROM scheduling_task WHERE id = %s
                """,
                [new_id(), schedule.id, at, schedule.task_id],
            )
        yield other
    finally:
        other.close()


def clock_that_waits_for_a_lock() -> str | None:
    """The name of the clock whose pass waits in the middle of its write."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT application_name FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND datname = current_database()
              AND (query LIKE '%WITH planned AS%' OR query LIKE '%WITH asked AS%')
            """
        )
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def test_one_of_three_clocks_killed_in_the_middle_of_a_pass_loses_and_doubles_nothing(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    schedules = make_due_schedules(at)
    with ExitStack() as stack:
        blocker = stack.enter_context(uncommitted_run_of(schedules[500], at))
        clocks = {
            name: stack.enter_context(
                manage(
                    *("runscheduler", "--batch", "50", "--no-housekeeping"),
                    env={**process_env, "PGAPPNAME": name},
                    log=tmp_path / name,
                )
            )
            for name in ("first", "second", "third")
        }
        stuck = wait_until(clock_that_waits_for_a_lock, what="one clock to stand in the middle of a pass")
        clocks[stuck].send_signal(signal.SIGKILL)
        clocks[stuck].wait(10)
        blocker.rollback()
        wait_until(lambda: Run.objects.count() >= HOW_MANY, what="the other clocks to fire the rest")

    twice = Run.objects.values("schedule", "scheduled_for").annotate(n=Count("id")).filter(n__gt=1)
    assert Run.objects.count() == HOW_MANY
    assert not twice.exists()
    assert set(Run.objects.values_list("scheduled_for", flat=True)) == {at}
    assert DueWork.objects.count() == HOW_MANY
    assert not Schedule.objects.exclude(next_fire_at=None).exists()


def test_three_clocks_fire_what_one_would(process_env: dict[str, str], tmp_path: Path) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    make_due_schedules(at)

    with ExitStack() as stack:
        for name in ("first", "second", "third"):
            stack.enter_context(
                manage("runscheduler", "--batch", "50", "--no-housekeeping", env=process_env, log=tmp_path / name)
            )
        wait_until(lambda: not Schedule.objects.exclude(next_fire_at=None).exists(), what="every mark to move")

    assert Run.objects.count() == HOW_MANY
    assert Run.objects.values("schedule", "scheduled_for").distinct().count() == HOW_MANY
    assert sum(Schedule.objects.values_list("fired_count", flat=True)) == HOW_MANY


def test_a_clock_fires_within_a_second_of_the_instant_and_stops_on_sigterm(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    with manage("runscheduler", "--no-housekeeping", env=process_env, log=tmp_path / "log") as clock:
        wait_until(lambda: b"clock.started" in (tmp_path / "log").read_bytes(), what="the clock to start")
        at = datetime.now(UTC) + timedelta(seconds=1.5)
        ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
        run = wait_until(lambda: Run.objects.first(), what="the run")
        clock.terminate()
        code = clock.wait(10)

    assert run.scheduled_for == at
    assert timedelta(0) <= run.created_at - at < timedelta(seconds=1)
    assert code == 0


def test_a_clock_outlives_a_broken_connection(process_env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with manage("runscheduler", "--no-housekeeping", env=process_env, log=log) as clock:
        wait_until(lambda: b"clock.started" in log.read_bytes(), what="the clock to start")
        wait_until(_backends_of_others, what="the clock to connect")
        _terminate_others()
        wait_until(lambda: b"clock.database_is_away" in log.read_bytes(), what="the clock to notice")
        at = datetime.now(UTC)
        ScheduleFactory(kind="once", expression=at.isoformat(), next_fire_at=at)
        wait_until(lambda: Run.objects.exists(), what="the clock to fire again")

        assert clock.poll() is None


def _backends_of_others() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]


def _terminate_others() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
            """
        )
