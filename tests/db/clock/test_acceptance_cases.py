"""The acceptance cases of the calendar that need a clock: what COUNT ends, the clock completes (14)."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.clock.firing import run_pass
from scheduling.models import Run
from scheduling.schedules.models import ScheduleState
from tests.factories import ScheduleFactory

pytestmark = pytest.mark.django_db

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def test_case_14_three_runs_and_the_schedule_is_completed() -> None:
    schedule = ScheduleFactory(
        kind="rrule",
        expression="FREQ=DAILY;COUNT=3;BYHOUR=12;BYMINUTE=0;BYSECOND=0",
        starts_at=datetime(2025, 6, 1),
        next_fire_at=NOON,
    )

    states = []
    for day in range(5):
        run_pass(now=NOON + timedelta(days=day))
        schedule.refresh_from_db()
        states.append(schedule.state)

    planned = [NOON + timedelta(days=day) for day in range(3)]
    assert list(Run.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True)) == planned
    assert states == [ScheduleState.ACTIVE, ScheduleState.ACTIVE, *[ScheduleState.COMPLETED] * 3]
    assert schedule.next_fire_at is None
