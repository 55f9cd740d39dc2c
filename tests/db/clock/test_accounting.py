"""The auditor: a hole is told once, and nothing else is told."""

import contextlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from scheduling.audit.operations import Actor
from scheduling.calendars.models import Calendar
from scheduling.calendars.operations import create_calendar, update_calendar
from scheduling.clock import accounting, metrics, overdue
from scheduling.clock.accounting import Auditor, audit, latest_overdue
from scheduling.clock.firing import run_pass
from scheduling.errors import NotValid
from scheduling.events.models import Event, Outbox
from scheduling.models import Miss, Run, Schedule
from scheduling.schedules.models import MissReason, ScheduleState
from scheduling.schedules.operations import (
    add_schedule,
    delete_schedule,
    pause_schedule,
    resume_schedule,
    update_schedule,
)
from scheduling.tasks.operations import pause_task, resume_task
from tests.effort import examples
from tests.factories import ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
ACTOR = Actor.system("tests")


def hourly(**fields: Any) -> Schedule:
    """On the hour, first due at nine; everything before is accounted for."""
    defaults = {
        "expression": "0 * * * *",
        "next_fire_at": NINE,
        "accounted_until": NINE - timedelta(microseconds=1),
        "misfire_policy": "all",
    }
    return ScheduleFactory(**{**defaults, **fields})


def fired_hourly(hours: int, **fields: Any) -> Schedule:
    schedule = hourly(**fields)
    for hour in range(hours):
        run_pass(now=NINE + timedelta(hours=hour))
    return schedule


def at(hour: int) -> datetime:
    return NINE + timedelta(hours=hour)


def test_what_fired_was_missed_or_skipped_is_no_hole() -> None:
    fired_hourly(3)
    hourly(misfire_policy="skip")
    hourly(misfire_policy="last", task__overlap="skip")
    run_pass(now=at(5) + timedelta(minutes=30))

    assert Auditor().round() == 0
    assert not Miss.objects.filter(reason=MissReason.UNACCOUNTED).exists()
    assert not Event.objects.exists()


def test_a_mark_that_was_moved_past_occurrences_is_told_once_in_every_way() -> None:
    schedule = fired_hourly(2)
    Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=at(5))
    run_pass(now=at(5))
    before = metrics.DID_NOT_RUN._value.get()

    assert Auditor().round() == 3
    assert Auditor().round() == 0

    miss = Miss.objects.get()
    event = Event.objects.get()
    schedule.refresh_from_db()
    assert (miss.first_at, miss.last_at, miss.count, miss.reason) == (at(2), at(4), 3, MissReason.UNACCOUNTED)
    assert event.topic == "schedule.did_not_run"
    assert event.payload == {
        "schedule": str(schedule.pk),
        "task": str(schedule.task_id),
        "first_at": at(2).isoformat(),
        "last_at": at(4).isoformat(),
        "count": 3,
    }
    assert Outbox.objects.get().event == event
    assert metrics.DID_NOT_RUN._value.get() == before + 3
    assert schedule.missed_count == 3


def test_a_run_that_was_deleted_is_found_and_its_neighbours_are_not_blamed() -> None:
    schedule = fired_hourly(6)
    Run.objects.filter(scheduled_for__in=[at(1), at(3), at(4)]).delete()

    assert Auditor().round() == 3

    spans = [(miss.first_at, miss.last_at) for miss in schedule.misses.order_by("first_at")]
    assert spans == [(at(1), at(1)), (at(3), at(4))]
    assert Event.objects.count() == 1


def test_one_that_was_completed_without_its_last_run_is_found() -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    lost = ScheduleFactory(
        kind="once",
        expression=past.isoformat(),
        next_fire_at=None,
        state=ScheduleState.COMPLETED,
        accounted_until=past - timedelta(microseconds=1),
    )

    assert Auditor().round() == 1
    assert Auditor().round() == 0
    assert lost.misses.get().first_at == past


def test_one_that_ran_as_often_as_it_may_owes_nothing_more() -> None:
    schedule = fired_hourly(2, max_occurrences=2)
    Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=None, state=ScheduleState.COMPLETED)

    assert Auditor().round() == 0


def test_one_that_is_completed_with_runs_left_owes_the_others() -> None:
    schedule = fired_hourly(2, max_occurrences=10, ends_at=NINE + timedelta(hours=5))
    Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=None, state=ScheduleState.COMPLETED)

    assert Auditor().round() == 4


def test_what_is_still_to_come_is_not_told_yet() -> None:
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    schedule = hourly(next_fire_at=this_hour + timedelta(days=1), accounted_until=this_hour - timedelta(minutes=90))

    assert Auditor().round() == 2
    assert Auditor().round() == 0
    assert schedule.misses.get().last_at == this_hour


def test_the_walk_reaches_every_schedule_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "WINDOW", 3)
    monkeypatch.setattr(accounting, "BATCH", 2)
    schedules = [hourly() for _ in range(10)]
    Schedule.objects.update(next_fire_at=at(1))

    assert Auditor().round(spend=60) == len(schedules)
    assert set(Miss.objects.values_list("schedule", flat=True)) == {schedule.pk for schedule in schedules}


def test_a_broken_rule_stops_nobody() -> None:
    hourly(timezone="Nowhere/AtAll")
    hole = hourly()
    Schedule.objects.update(next_fire_at=at(1))

    assert Auditor().round() == 1
    assert Miss.objects.get().schedule_id == hole.pk


def test_what_nobody_fires_is_measured() -> None:
    ScheduleFactory(next_fire_at=datetime.now(UTC) - timedelta(hours=1))
    ScheduleFactory(next_fire_at=datetime.now(UTC) - timedelta(seconds=1))
    ScheduleFactory(next_fire_at=datetime.now(UTC) - timedelta(hours=2), state=ScheduleState.PAUSED)

    audit()

    seen = latest_overdue()
    assert seen is not None
    assert seen.count == 1
    assert 3600 <= seen.oldest_seconds < 3700
    assert metrics.OVERDUE._value.get() == 1


OPERATIONS = (
    *("pass", "late_pass", "pause", "resume", "edit_rule", "edit_policy", "hold", "release", "add", "delete"),
    *("snooze", "limit", "close_days", "open_days", "quarantine"),
)
RULES = ("* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0 9 * * 1")


@settings(
    max_examples=examples(25, 3),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32 - 1), operations=st.lists(st.sampled_from(OPERATIONS), min_size=5, max_size=30))
def test_no_operation_makes_a_false_alarm(seed: int, operations: list[str]) -> None:
    """Time is moved for operations and passes alike, and the auditor looks after each of them."""
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        now = [datetime(2026, 3, 28, 22, tzinfo=UTC)]
        for module in ("schedules", "tasks", "calendars"):
            patch.setattr(f"scheduling.{module}.operations.database_now", lambda: now[0])
        task = TaskFactory(overlap=rng.choice(["allow", "skip", "queue_all"]))
        create_calendar(actor=ACTOR, agent=task.agent, definition={"key": "closed", "dates": ["2026-03-29"]})
        auditor = Auditor()
        for operation in ["add", *operations]:
            now[0] += timedelta(seconds=rng.choice([1, 20, 60, 400, 4000, 90_000]))
            with contextlib.suppress(NotValid):  # a rule that the calendar leaves nothing of
                carry_out(operation, task, now[0], rng)
            if rng.random() < 0.6:
                assert auditor.round() == 0, operation
        now[0] += timedelta(days=2)
        while run_pass(now=now[0]).is_full:
            assert auditor.round() == 0
        assert Auditor().round() == 0
        assert not Miss.objects.filter(reason=MissReason.UNACCOUNTED).exists()


def carry_out(operation: str, task: Any, now: datetime, rng: random.Random) -> None:
    schedules = list(task.schedules.order_by("pk"))
    chosen = rng.choice(schedules) if schedules else None
    match operation:
        case "pass":
            run_pass(now=now)
        case "late_pass":
            run_pass(now=now + timedelta(hours=rng.choice([1, 30])))
        case "add":
            definition = {
                "kind": "cron",
                "expression": rng.choice(RULES),
                "timezone": rng.choice(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
                "misfire": {"policy": rng.choice(["skip", "last", "all"])},
                **({"calendars": ["closed"]} if rng.random() < 0.5 else {}),
                **({"max_occurrences": rng.randrange(1, 9)} if rng.random() < 0.3 else {}),
            }
            add_schedule(actor=ACTOR, task=task, definition=definition)
        case "close_days" | "open_days":
            days = rng.sample(range(25, 32), 3) if operation == "close_days" else []
            update_calendar(
                actor=ACTOR,
                calendar=Calendar.objects.get(agent=task.agent),
                changes={"dates": [f"2026-03-{day}" for day in days]},
            )
        case "hold":
            pause_task(actor=ACTOR, task=task)
        case "release":
            resume_task(actor=ACTOR, task=task)
        case _ if chosen is not None:
            change(operation, chosen, now, rng)


def change(operation: str, schedule: Schedule, now: datetime, rng: random.Random) -> None:
    match operation:
        case "pause" if schedule.state == ScheduleState.ACTIVE:
            pause_schedule(actor=ACTOR, schedule=schedule)
        case "resume" if schedule.state != ScheduleState.COMPLETED:
            resume_schedule(actor=ACTOR, schedule=schedule)
        case "snooze" if schedule.state == ScheduleState.ACTIVE:
            pause_schedule(actor=ACTOR, schedule=schedule, until=now + timedelta(hours=1))
        case "quarantine" if schedule.state == ScheduleState.ACTIVE:
            Schedule.objects.filter(pk=schedule.pk).update(state=ScheduleState.QUARANTINED, version=F("version") + 1)
        case "limit":
            update_schedule(actor=ACTOR, schedule=schedule, changes={"max_occurrences": rng.choice([1, 5, 50, None])})
        case "edit_rule":
            update_schedule(actor=ACTOR, schedule=schedule, changes={"expression": rng.choice(RULES)})
        case "edit_policy":
            update_schedule(actor=ACTOR, schedule=schedule, changes={"misfire": {"policy": "skip"}})
        case "delete":
            delete_schedule(actor=ACTOR, schedule=schedule)


def long_due(minutes: float = 120, **fields: Any) -> Schedule:
    """A `once` whose instant passed some time ago, and that its misfire policy lets run all the same."""
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    return ScheduleFactory(
        kind="once", expression=at.isoformat(), next_fire_at=at, misfire_grace=timedelta(days=1), **fields
    )


def test_an_occurrence_that_nobody_fires_is_told_once_by_name() -> None:
    late = long_due()
    before = metrics.OVERDUE_TOLD._value.get()

    with capture_logs() as logs:
        told = [audit(), audit()]

    event = Event.objects.get()
    assert told == [1, 0]
    assert (event.topic, event.agent, event.pk.version) == ("schedule.overdue", None, 7)
    assert 7_190 < event.payload.pop("seconds") < 7_400
    assert event.payload == {
        "schedule": str(late.pk),
        "task": str(late.task_id),
        "due_at": late.next_fire_at.isoformat(),
    }
    assert Outbox.objects.get().event == event
    assert metrics.OVERDUE_TOLD._value.get() == before + 1
    (warning,) = [entry for entry in logs if entry["event"] == "schedule.overdue"]
    assert (warning["log_level"], warning["schedule"], warning["task"]) == ("warning", str(late.pk), str(late.task_id))


def test_what_is_a_moment_late_held_paused_or_over_is_not_told() -> None:
    long_due(minutes=0.5)
    long_due(held_at=NINE)
    long_due(state=ScheduleState.PAUSED)
    long_due(state=ScheduleState.QUARANTINED)

    assert overdue.tell_each_overdue() == 0


def test_the_bound_follows_the_budget_of_a_pass(settings: Any) -> None:
    settings.ORDINAUT_CLOCK_PASS_BUDGET = timedelta(minutes=1)
    late = long_due(minutes=7)
    long_due(minutes=5)

    assert overdue.tell_each_overdue() == 1
    assert Event.objects.get().payload["schedule"] == str(late.pk)


def test_the_next_occurrence_of_the_same_schedule_is_told_again() -> None:
    late = long_due()
    overdue.tell_each_overdue()

    Schedule.objects.filter(pk=late.pk).update(next_fire_at=F("next_fire_at") + timedelta(hours=1))

    assert overdue.tell_each_overdue() == 1
    assert len({event.payload["due_at"] for event in Event.objects.all()}) == 2


def test_many_that_are_overdue_are_told_in_several_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overdue, "TOLD_AT_ONCE", 2)
    for _ in range(5):
        long_due()

    assert [overdue.tell_each_overdue() for _ in range(4)] == [2, 2, 1, 0]
    assert Event.objects.count() == 5


def test_who_listens_for_what_is_overdue_is_started() -> None:
    listener = ScheduleFactory(kind="event", expression="schedule.overdue", next_fire_at=None)
    long_due()

    overdue.tell_each_overdue()

    assert Run.objects.get().schedule_id == listener.pk


def test_a_hole_behind_a_miss_that_stopped_counting_is_told() -> None:
    schedule = hourly(next_fire_at=at(6))
    Miss.objects.create(
        schedule=schedule, first_at=at(0), last_at=at(3), count=2, is_at_least=True, reason=MissReason.SUPERSEDED
    )

    assert Auditor().round() == 2

    (hole,) = Miss.objects.filter(reason=MissReason.UNACCOUNTED)
    assert (hole.first_at, hole.last_at) == (at(4), at(5))
