"""Marks that other zone data than this clock's has set, and that are due."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduling.clock import accounting
from scheduling.clock.accounting import audit
from scheduling.clock.ahead import plan_ahead
from scheduling.clock.firing import run_pass
from scheduling.clock.isolation import SteppedOver
from scheduling.events.models import Event
from scheduling.events.topics import ZONES_UPDATED
from scheduling.models import Miss, Run, Schedule, Task
from scheduling.schedules.models import MissReason
from scheduling.schedules.rules import recurrence_of
from tests.by_hand import write_by_hand
from tests.factories import CalendarFactory, RunFactory, ScheduleFactory

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def at_nine(*, off_by: timedelta, **fields: Any) -> tuple[Schedule, datetime]:
    """Daily at nine in Berlin, its mark at nine of another Berlin; and the right instant, some days ahead, so that the
    schedule is older than all that the tests speak of."""
    values = {"expression": "0 9 * * *", "timezone": "Europe/Berlin", **fields}
    nine = recurrence_of(ScheduleFactory.build(**values)).next_after(datetime.now(UTC) + 3 * DAY)
    assert nine is not None
    return ScheduleFactory(**values, next_fire_at=nine + off_by), nine


def ran(schedule: Schedule) -> list[datetime | None]:
    runs = Run.objects.filter(schedule=schedule).order_by("scheduled_for")
    return list(runs.values_list("scheduled_for", flat=True))


def mark(schedule: Schedule) -> datetime | None:
    schedule.refresh_from_db()
    return schedule.next_fire_at


@pytest.mark.parametrize("off_by", [HOUR, 0.5 * HOUR, 23 * HOUR])
def test_an_occurrence_that_has_passed_before_its_mark_runs_late(off_by: timedelta) -> None:
    schedule, nine = at_nine(off_by=off_by)

    result = run_pass(now=nine + off_by)

    assert (result.runs, ran(schedule)) == (1, [nine])
    assert mark(schedule) == recurrence_of(schedule).next_after(nine)
    assert (schedule.fired_count, schedule.missed_count) == (1, 0)


def test_the_misfire_policy_says_what_becomes_of_it() -> None:
    schedule, nine = at_nine(off_by=HOUR, misfire_policy="skip")

    run_pass(now=nine + HOUR)

    assert ran(schedule) == []
    assert (Miss.objects.get().first_at, Miss.objects.get().reason) == (nine, MissReason.POLICY_SKIP)
    assert mark(schedule) == recurrence_of(schedule).next_after(nine)


def test_an_occurrence_that_is_still_to_come_is_waited_for() -> None:
    schedule, nine = at_nine(off_by=-HOUR)
    by_its_firing(schedule, nine - DAY)

    assert run_pass(now=nine - HOUR).runs == 0
    assert mark(schedule) == nine
    assert run_pass(now=nine).runs == 1
    assert ran(schedule) == [nine]
    assert not Miss.objects.exists()


def by_a_run(schedule: Schedule, nine: datetime) -> None:
    RunFactory(task=schedule.task, schedule=schedule, trigger_kind="schedule", scheduled_for=nine, state="succeeded")


def by_a_miss(schedule: Schedule, nine: datetime) -> None:
    Miss.objects.create(schedule=schedule, first_at=nine - DAY, last_at=nine, count=2, reason=MissReason.PAUSED)


def by_an_edit(schedule: Schedule, nine: datetime) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(updated_at=nine + 0.1 * HOUR)


def by_the_end_of_a_pause(schedule: Schedule, nine: datetime) -> None:
    Task.objects.filter(pk=schedule.task_id).update(resumed_at=nine + 0.1 * HOUR)


def by_a_calendar(schedule: Schedule, nine: datetime) -> None:
    calendar = CalendarFactory(agent=schedule.task.agent, updated_at=nine + 0.1 * HOUR)
    Schedule.objects.filter(pk=schedule.pk).update(calendars=[calendar.pk])


def by_its_firing(schedule: Schedule, nine: datetime) -> None:
    """Whose run has been deleted since."""
    Schedule.objects.filter(pk=schedule.pk).update(last_fired_at=nine)


@pytest.mark.parametrize(
    "settle", [by_a_run, by_its_firing, by_a_miss, by_an_edit, by_the_end_of_a_pause, by_a_calendar]
)
def test_what_was_settled_before_is_not_settled_again(settle: Callable[[Schedule, datetime], None]) -> None:
    schedule, nine = at_nine(off_by=HOUR)
    settle(schedule, nine)
    before = ran(schedule)

    assert run_pass(now=nine + HOUR).runs == 0

    assert ran(schedule) == before
    assert mark(schedule) == recurrence_of(schedule).next_after(nine)


def test_a_mark_without_a_zone_is_nobodys_error() -> None:
    schedule, nine = at_nine(off_by=HOUR, timezone="UTC")

    assert run_pass(now=nine + HOUR).runs == 0
    assert mark(schedule) == nine + DAY


def test_a_once_runs_late_too() -> None:
    at = datetime.now(UTC).replace(microsecond=0) + 3 * DAY
    wall = at.replace(tzinfo=None).isoformat()
    once = ScheduleFactory(kind="once", expression=wall, timezone="Africa/Abidjan", next_fire_at=at + HOUR)

    run_pass(now=at + HOUR)

    once.refresh_from_db()
    assert (ran(once), once.state, once.fired_count) == ([at], "completed", 1)


def test_it_is_not_fired_ahead() -> None:
    schedule, nine = at_nine(off_by=-HOUR)
    right, _ = at_nine(off_by=timedelta(0))

    assert plan_ahead(nine - HOUR) == []
    assert {item.schedule.id for item in plan_ahead(nine)} == {right.pk}
    assert mark(schedule) == nine - HOUR


@pytest.mark.parametrize("column", ["updated_at", "created_at", "condition_checked_for"])
def test_one_that_cannot_be_read_is_set_aside_while_others_fire(column: str) -> None:
    schedule, nine = at_nine(off_by=HOUR)
    other = ScheduleFactory(expression="0 9 * * *", timezone="Europe/Berlin", next_fire_at=nine)
    write_by_hand([schedule.pk], f"{column} = 'infinity'")

    result = run_pass(now=nine + HOUR)

    assert (result.runs, result.quarantined, ran(other)) == (1, 1, [nine])
    (state, reason) = Schedule.objects.filter(pk=schedule.pk).values_list("state", "state_reason").get()
    assert state == "quarantined"
    assert reason.startswith("cannot be planned: DataError")


class TestAnOlderClock:
    """Marks agree with a release that this process does not have."""

    @pytest.fixture(autouse=True)
    def newer_data(self) -> None:
        Event.objects.create(topic=ZONES_UPDATED, payload={"release": "2999z", "before": "", "moved": 1})

    def test_leaves_what_its_rules_do_not_name_to_a_newer_one_for_a_minute(self) -> None:
        schedule, nine = at_nine(off_by=-HOUR)
        by_its_firing(schedule, nine - DAY)
        left_alone = SteppedOver()

        result = run_pass(now=nine - HOUR, stepped_over=left_alone)

        assert (result.stepped_over, result.runs, mark(schedule)) == (1, 0, nine - HOUR)
        assert left_alone.knows(schedule.pk)
        run_pass(now=nine - HOUR + timedelta(seconds=61))
        assert mark(schedule) == nine

    def test_fires_what_its_rules_name(self) -> None:
        schedule, nine = at_nine(off_by=timedelta(0))

        assert run_pass(now=nine).runs == 1
        assert ran(schedule) == [nine]

    def test_tells_of_no_hole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(accounting, "_auditor", accounting.Auditor())
        past = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        ScheduleFactory(
            expression="0 * * * *",
            timezone="Europe/Berlin",
            next_fire_at=past + HOUR,
            accounted_until=past - 3 * HOUR,
        )

        assert audit() == 0
        Event.objects.filter(topic=ZONES_UPDATED).delete()
        with capture_logs():
            assert audit() == 3
