"""A backfill from its making to its end: a real clock, real workers, and live schedules beside it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from scheduling.audit.operations import Actor
from scheduling.backfills.models import Backfill, BackfillState
from scheduling.backfills.operations import create_backfill
from scheduling.models import Run, Schedule
from scheduling.runs.states import RunState
from tests.crash.workers.conftest import Fleet
from tests.effort import in_torture_also
from tests.factories import ScheduleFactory, TaskFactory
from tests.invariants import broken_invariants
from tests.processes import manage
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

FAR = datetime(2100, 1, 1, tzinfo=UTC)


def make(schedule: Schedule, **given: object) -> Backfill:
    return create_backfill(actor=Actor.system("tests"), schedule=schedule, definition=given)


def is_completed() -> bool:
    return Backfill.objects.get().state == BackfillState.COMPLETED


@pytest.mark.parametrize(
    ("task_overlap", "overlap", "max_active"),
    in_torture_also([("skip", "queue_all", 1)], [("allow", "allow", 5), ("allow", "queue_all", 1)]),
)
def test_a_backfill_runs_to_its_end(fleet: Fleet, task_overlap: str, overlap: str, max_active: int) -> None:
    schedule = ScheduleFactory(task=TaskFactory(overlap=task_overlap), expression="0 9 * * *", next_fire_at=FAR)
    days = {"allow": 12}.get(overlap, 4)
    end = f"2026-03-{days:02}T09:00:00Z"
    make(schedule, start="2026-03-01T09:00:00Z", end=end, overlap=overlap, max_active=max_active)

    with fleet.host(), manage("runscheduler", "--no-housekeeping", env=fleet.env, log=fleet.folder / "clock.log"):
        wait_until(is_completed, timeout=40, what="the backfill to be completed")

    runs = list(Run.objects.order_by("scheduled_for"))
    assert [run.scheduled_for for run in runs] == [datetime(2026, 3, day, 9, tzinfo=UTC) for day in range(1, days + 1)]
    assert {run.state for run in runs} == {RunState.SUCCEEDED}
    if overlap == "queue_all":
        starts = [run.started_at for run in runs if run.started_at]
        assert all(run.finished_at and run.finished_at <= later for run, later in zip(runs, starts[1:], strict=False))
    assert broken_invariants() == {}


def test_a_backfill_of_ten_thousand_does_not_delay_live_firing(fleet: Fleet) -> None:
    slow = ScheduleFactory(next_fire_at=FAR)
    make(
        slow, start="2026-03-01T00:00:00Z", end="2026-03-07T22:39:00Z", overlap="allow", max_active=100,
    )  # fmt: skip
    assert Backfill.objects.get().total_count == 10_000

    with fleet.host(), manage("runscheduler", "--no-housekeeping", env=fleet.env, log=fleet.folder / "clock.log"):
        wait_until(lambda: Backfill.objects.get().started_count >= 100, what="the backfill to be under way")
        first = timezone.now() + timedelta(seconds=1.5)
        instants = [first + timedelta(milliseconds=150 * number) for number in range(20)]
        for instant in instants:
            ScheduleFactory(kind="once", expression=instant.isoformat(), next_fire_at=instant)
        live = Run.objects.filter(trigger_kind="schedule")
        wait_until(lambda: live.filter(state=RunState.SUCCEEDED).count() == 20, what="the live runs to end")
        started = Backfill.objects.get().started_count

    assert 100 < started < 10_000
    for run in live:
        assert run.scheduled_for is not None
        assert run.started_at is not None
        assert run.created_at - run.scheduled_for < timedelta(seconds=1)
        assert run.started_at - run.scheduled_for < timedelta(seconds=3)
