"""A clock that is killed in the middle of a backfill."""

import signal
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection, connections, transaction
from django.db.models import Count
from django.utils import timezone

from scheduling.backfills.models import Backfill, BackfillState
from scheduling.ids import new_id
from scheduling.models import DueWork, Run
from scheduling.runs.states import RunState
from tests.crash.test_clocks import clock_that_waits_for_a_lock
from tests.factories import BackfillFactory
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

FIRST = datetime(2026, 3, 1, 9, tzinfo=UTC)


def end_live_runs() -> bool:
    """What the workers do. True when the backfill is completed."""
    with transaction.atomic():
        live = list(DueWork.objects.values_list("pk", flat=True))
        DueWork.objects.filter(pk__in=live).delete()
        Run.objects.filter(pk__in=live).update(state=RunState.SUCCEEDED, finished_at=timezone.now())
    return Backfill.objects.get().state == BackfillState.COMPLETED


def test_a_clock_killed_in_the_middle_of_a_turn_loses_and_doubles_nothing(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    backfill = BackfillFactory(max_active=5, end_at=FIRST + timedelta(days=19), total_count=20)
    other = connections.create_connection("default")
    other.set_autocommit(False)
    with ExitStack() as stack:
        stack.callback(other.close)
        with other.cursor() as cursor:
            # An uncommitted run of the third occurrence: the turn that comes to it stands in the middle of its write.
            cursor.execute(
                """
                INSERT INTO scheduling_run (id, task_id, revision_id, agent_id, schedule_id, backfill_id, trigger_kind,
                                            scheduled_for, state, cause, skip_reason, attempt, simulated,
                                            triggered_by, created_at)
                SELECT %s, id, current_revision_id, agent_id, %s, %s, 'backfill', %s, 'queued', '', '', 1, false, '',
                       now()
                FROM scheduling_task WHERE id = %s
                """,
                [
                    new_id(), backfill.schedule_id, backfill.pk, FIRST + timedelta(days=2),
                    backfill.schedule.task_id,
                ],
            )  # fmt: skip
        arguments = ("runscheduler", "--no-housekeeping")
        first = stack.enter_context(
            manage(*arguments, env={**process_env, "PGAPPNAME": "first"}, log=tmp_path / "first")
        )
        wait_until(clock_that_waits_for_a_lock, what="the clock to stand in the middle of a turn")
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        other.rollback()
        wait_until(_first_has_left, what="the killed clock's session to end")
        backfill.refresh_from_db()
        assert (Run.objects.count(), backfill.cursor_at) == (0, FIRST)

        stack.enter_context(manage(*arguments, env=process_env, log=tmp_path / "second"))
        wait_until(end_live_runs, timeout=40, what="another clock to complete it")

    backfill.refresh_from_db()
    twice = Run.objects.values("scheduled_for").annotate(n=Count("id")).filter(n__gt=1)
    assert sorted(filter(None, Run.objects.values_list("scheduled_for", flat=True))) == [
        FIRST + timedelta(days=day) for day in range(20)
    ]
    assert not twice.exists()
    assert (backfill.started_count, backfill.skipped_count) == (20, 0)


def test_the_next_run_starts_within_about_a_second_of_the_end_of_the_one_before(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    BackfillFactory(overlap="queue_all", end_at=FIRST + timedelta(days=2), total_count=3)
    with manage("runscheduler", "--no-housekeeping", env=process_env, log=tmp_path / "log"):
        for number in range(1, 4):
            wait_until(lambda number=number: Run.objects.count() == number, what=f"run {number}")
            end_live_runs()
        wait_until(end_live_runs, what="it to be completed")
    first, second, third = Run.objects.order_by("scheduled_for")

    for before, after in ((first, second), (second, third)):
        assert before.finished_at is not None
        assert after.created_at - before.finished_at < timedelta(seconds=2)


def _first_has_left() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'first'")
        return bool(cursor.fetchone()[0] == 0)
