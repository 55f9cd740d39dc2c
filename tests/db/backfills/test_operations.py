"""Backfills are counted, made and canceled; what cannot be is refused at its place."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.backfills import operations
from scheduling.backfills.models import Backfill, BackfillState
from scheduling.backfills.pacing import BackfillPacer
from scheduling.clock.firing import run_pass
from scheduling.errors import Conflict, IllegalTransition, NotValid
from scheduling.instants import database_now
from scheduling.models import Calendar, DueWork, Run, Schedule, Task
from scheduling.runs.states import RunState
from scheduling.tasks.operations import archive_task
from tests.effort import examples
from tests.factories import BackfillFactory, CalendarFactory, RunFactory, ScheduleFactory

pytestmark = pytest.mark.django_db

WEEK = {"start": "2026-03-02T00:00:00", "end": "2026-03-08T23:59:59"}


@pytest.fixture
def actor() -> Actor:
    return Actor.system("tests")


@pytest.fixture
def schedule(db: None) -> Schedule:
    """Every day at 08:00 in Chisinau, which is 06:00 UTC in the winter."""
    return ScheduleFactory(
        expression="0 8 * * *", timezone="Europe/Chisinau", next_fire_at=datetime(2100, 1, 1, tzinfo=UTC)
    )


def create(actor: Actor, schedule: Schedule, **given: Any) -> Backfill:
    return operations.create_backfill(actor=actor, schedule=schedule, definition={**WEEK, **given})


def test_the_preview_counts_the_range_in_local_time_and_writes_nothing(schedule):
    RunFactory(
        succeeded=True, trigger_kind="schedule", schedule=schedule, task=schedule.task,
        scheduled_for=datetime(2026, 3, 3, 6, tzinfo=UTC),
    )  # fmt: skip

    found = operations.preview_backfill(schedule=schedule, given=WEEK)

    assert (found.occurrence_count, found.ran_count, found.start_count) == (7, 1, 6)
    assert found.start_at == datetime(2026, 3, 1, 22, tzinfo=UTC)
    assert (found.first_at, found.last_at) == (
        datetime(2026, 3, 2, 6, tzinfo=UTC),
        datetime(2026, 3, 8, 6, tzinfo=UTC),
    )
    assert operations.preview_backfill(schedule=schedule, given={**WEEK, "only_missing": False}).start_count == 7
    assert not Backfill.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_range_from_occurrence_to_occurrence_holds_both(schedule):
    found = operations.preview_backfill(
        schedule=schedule, given={"start": "2026-03-02T08:00:00", "end": "2026-03-04T06:00:00Z"}
    )

    assert found.occurrence_count == 3


@pytest.mark.parametrize(
    ("rule", "start", "end", "instants"),
    [
        ({"fold": "second"}, "2025-10-26T02:00:00", "2025-10-26T02:30:00", ["01:30"]),
        ({"fold": "both"}, "2025-10-26T02:00:00", "2025-10-26T02:59:00", ["00:30", "01:30"]),
        ({"expression": "0 * * * *"}, "2025-10-26T01:00:00", "2025-10-26T02:30:00", ["23:00", "00:00", "01:00"]),
        ({}, "2025-03-30T02:30:00", "2025-03-30T23:00:00", ["01:00"]),
        ({}, "2025-03-30T01:00:00", "2025-03-30T02:30:00", ["01:00"]),
        ({}, "2025-03-30T02:59:59.5", "2025-03-30T23:00:00", ["01:00"]),
        ({"gap": "shift"}, "2025-03-30T02:30:00", "2025-03-30T02:30:00", ["01:30"]),
        ({"fold": "second"}, "2025-10-26T02:00:00", "2025-10-26T02:30:00+02:00", []),
    ],
)
def test_a_range_whose_ends_the_clocks_leave_out_or_repeat_holds_all_that_they_can_mean(rule, start, end, instants):
    schedule = ScheduleFactory(
        **{"expression": "30 2 * * *", "timezone": "Europe/Berlin", **rule},
        starts_at=datetime(2025, 1, 1),
        next_fire_at=datetime(2100, 1, 1, tzinfo=UTC),
    )

    found = operations.preview_backfill(schedule=schedule, given={"start": start, "end": end})

    assert found.occurrence_count == len(instants)
    ends = [f"{at:%H:%M}" for at in (found.first_at, found.last_at) if at is not None]
    assert ends == (instants and [instants[0], instants[-1]])


def test_a_created_backfill_is_what_was_previewed(actor, schedule):
    backfill = create(actor, schedule, overlap="allow", max_active=4)

    (entry,) = AuditEntry.objects.all()
    assert (backfill.state, backfill.total_count, backfill.max_active) == (BackfillState.RUNNING, 7, 4)
    assert backfill.cursor_at == backfill.start_at == datetime(2026, 3, 1, 22, tzinfo=UTC)
    assert (backfill.created_by, backfill.only_missing) == ("system:tests", True)
    assert (entry.action, entry.object_id, entry.after["total_count"]) == ("backfill.create", str(backfill.pk), 7)


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        ({"start": "soon"}, "/start", "invalid_datetime"),
        ({"end": None}, "/end", "null_not_allowed"),
        ({"start": "2026-04-01T00:00:00"}, "/end", "ends_before_it_starts"),
        ({"end": "2400-01-01T00:00:00"}, "/end", "in_the_future"),
        ({"end": "2026-03-02T07:59:59"}, "/start", "no_occurrences"),
        ({"start": "2019-01-01T00:00:00", "end": "2019-12-31T00:00:00"}, "/start", "no_occurrences"),
        ({"overlap": "queue"}, "/overlap", "unknown_choice"),
        ({"overlap": "allow", "max_active": 0}, "/max_active", "min_value"),
        ({"overlap": "allow", "max_active": 101}, "/max_active", "max_value"),
        ({"overlap": "allow", "max_active": "4"}, "/max_active", "wrong_type"),
        ({"overlap": "queue_all", "max_active": 2}, "/max_active", "not_one"),
        ({"only_missing": 1}, "/only_missing", "wrong_type"),
        ({"ends": "2026-03-02T07:59:59"}, "/ends", "unknown_field"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(actor, schedule, given, pointer, code):
    with pytest.raises(NotValid) as refused:
        create(actor, schedule, **given)

    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code) == (pointer, code)
    assert not Backfill.objects.exists()


def test_a_range_before_the_anchor_says_where_the_schedule_begins(actor, schedule):
    with pytest.raises(NotValid) as refused:
        create(actor, schedule, start="2019-01-01T00:00:00", end="2019-12-31T00:00:00")

    assert "2026-01-01T00:00:00" in (refused.value.hint or "")


def test_a_range_with_more_than_a_hundred_thousand_occurrences_is_refused_with_the_end_that_would_do(actor):
    every_minute = ScheduleFactory(expression="* * * * *")

    with pytest.raises(NotValid) as refused:
        create(actor, every_minute, start="2026-01-01T00:00:00", end="2026-03-31T00:00:00")

    assert refused.value.problems[0].code == "too_many_occurrences"
    # 100,000 minutes after the start, the start included.
    assert "2026-03-11T10:39:00Z" in (refused.value.hint or "")
    assert create(actor, every_minute, start="2026-01-01T00:00:00", end="2026-03-11T10:39:00Z").total_count == 100_000


def test_a_range_that_takes_too_long_to_count_is_refused(actor, schedule, monkeypatch):
    monkeypatch.setattr(operations, "_COUNTING_TIME", -1.0)
    every_minute = ScheduleFactory(expression="* * * * *")

    with pytest.raises(NotValid) as refused:
        create(actor, every_minute)

    assert (refused.value.problems[0].pointer, refused.value.problems[0].code) == ("/end", "range_too_long")


def test_where_everything_has_run_nothing_is_made_unless_it_is_asked_for(actor, schedule):
    day = {"start": "2026-03-03T00:00:00", "end": "2026-03-03T23:00:00"}
    RunFactory(
        dead=True, trigger_kind="schedule", schedule=schedule, task=schedule.task,
        scheduled_for=datetime(2026, 3, 3, 6, tzinfo=UTC),
    )  # fmt: skip

    with pytest.raises(NotValid) as refused:
        create(actor, schedule, **day)

    assert refused.value.problems[0].code == "nothing_missing"
    assert create(actor, schedule, **day, only_missing=False).total_count == 1


def test_what_a_calendar_excludes_is_left_out_as_it_was_when_the_backfill_was_made(actor, schedule):
    calendar = CalendarFactory(agent=schedule.task.agent, dates=[date(2026, 3, 4)])
    Schedule.objects.update(calendars=[calendar.pk])

    backfill = create(actor, Schedule.objects.select_related("task").get(), overlap="allow", max_active=10)
    type(calendar).objects.update(days=[date(2026, 3, 2)], version=2)
    BackfillPacer().turn()

    assert backfill.total_count == 6
    days = Run.objects.order_by("scheduled_for").values_list("scheduled_for__day", flat=True)
    assert list(days) == [2, 3, 5, 6, 7, 8]


def test_a_schedule_whose_calendar_is_gone_is_refused(actor, schedule):
    schedule.calendars = [schedule.pk]

    with pytest.raises(NotValid) as refused:
        create(actor, schedule)

    assert refused.value.problems[0].code == "unknown_calendar"


@pytest.mark.parametrize("kind", ["event", "condition"])
def test_a_schedule_without_instants_is_refused(actor, schedule, kind):
    schedule.kind = kind

    for ask in (
        lambda: create(actor, schedule),
        lambda: operations.preview_backfill(schedule=schedule, given=WEEK),
    ):
        with pytest.raises(NotValid) as refused:
            ask()
        assert refused.value.problems[0].code == "not_by_time"


def test_a_schedule_whose_rule_is_broken_is_refused(actor, schedule):
    schedule.timezone = "Atlantis/Capital"

    with pytest.raises(NotValid) as refused:
        create(actor, schedule)

    assert refused.value.problems[0].code == "unknown_timezone"


def test_an_archived_task_is_refused(actor, schedule):
    archive_task(actor=actor, task=schedule.task)

    with pytest.raises(IllegalTransition):
        create(actor, schedule)


def test_a_second_one_at_a_time_is_refused(actor, schedule):
    create(actor, schedule)

    with pytest.raises(Conflict) as refused:
        create(actor, schedule, start="2026-02-01T00:00:00")

    assert refused.value.code == "backfill_running"


def test_a_rule_that_was_edited_meanwhile_is_refused(actor, schedule):
    as_read = Schedule.objects.select_related("task").get()
    Schedule.objects.update(expression="0 9 * * *")

    with pytest.raises(Conflict):
        create(actor, as_read)

    assert not Backfill.objects.exists()


def test_a_canceled_one_starts_no_more_and_its_live_runs_go_on(actor):
    backfill = BackfillFactory(max_active=2)
    pacer = BackfillPacer()
    pacer.turn()

    canceled = operations.cancel_backfill(actor=actor, backfill=backfill, reason="enough")
    DueWork.objects.all().delete()
    Run.objects.update(state=RunState.SUCCEEDED, finished_at=timezone.now())
    pacer.turn()

    assert (canceled.state, canceled.state_reason) == (BackfillState.CANCELED, "enough")
    assert canceled.finished_at is not None
    assert Run.objects.count() == 2
    assert AuditEntry.objects.get().action == "backfill.cancel"


def test_its_live_runs_are_canceled_with_it_where_that_is_asked_for(actor):
    backfill = BackfillFactory(max_active=3)
    BackfillPacer().turn()
    held = DueWork.objects.order_by("pk").first()
    assert held is not None
    DueWork.objects.filter(pk=held.pk).update(
        lease_owner="00000000-0000-7000-8000-000000000001", lease_epoch=1, claimed_at=timezone.now()
    )

    operations.cancel_backfill(actor=actor, backfill=backfill)
    operations.cancel_backfill(actor=actor, backfill=backfill, cancel_runs=True)

    assert sorted(Run.objects.values_list("state", flat=True)) == ["canceled", "canceled", "queued"]
    held.refresh_from_db()
    assert held.cancel_requested_at is not None
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        "backfill.cancel",
        *["run.cancel"] * 3,
    ]


@pytest.mark.parametrize("state", [BackfillState.COMPLETED, BackfillState.FAILED])
def test_one_that_has_ended_cannot_be_canceled(actor, state):
    backfill = BackfillFactory(state=state)

    with pytest.raises(IllegalTransition):
        operations.cancel_backfill(actor=actor, backfill=backfill)


def test_one_of_a_paused_task_is_made_and_waits(actor, schedule):
    Task.objects.update(state="paused", paused_at=timezone.now())

    create(actor, schedule)
    BackfillPacer().turn()

    assert not Run.objects.exists()


def test_what_ran_is_told_apart_in_a_long_range(actor):
    every_minute = ScheduleFactory(expression="* * * * *")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    days, ran_before = examples(58), examples(5_000)
    Run.objects.bulk_create(
        [
            RunFactory.build(
                succeeded=True, trigger_kind="schedule", schedule=every_minute, task=every_minute.task,
                agent=every_minute.task.agent, revision=every_minute.task.current_revision,
                scheduled_for=start + timedelta(minutes=minute),
            )
            for minute in range(ran_before)
        ],
        batch_size=1000,
    )  # fmt: skip

    end = start + timedelta(days=days)
    found = operations.preview_backfill(
        schedule=every_minute, given={"start": start.isoformat(), "end": end.isoformat()}
    )

    assert (found.occurrence_count, found.ran_count) == (days * 1440 + 1, ran_before)


def test_a_backfill_leaves_out_what_a_calendar_excluded_when_it_was_made(actor, schedule):
    calendar = CalendarFactory(agent=schedule.task.agent, days=[date(2026, 3, 3), date(2026, 3, 4)])
    Schedule.objects.update(calendars=[calendar.pk])
    schedule.refresh_from_db()

    backfill = create(actor, schedule, overlap="allow", max_active=10)
    Calendar.objects.update(days=[])
    BackfillPacer().turn()

    days = [run.scheduled_for.day for run in Run.objects.filter(backfill=backfill).order_by("scheduled_for")]
    assert days == [2, 5, 6, 7, 8]


def test_what_is_due_and_not_fired_yet_is_left_to_the_live_firing(actor: Actor) -> None:
    at = database_now().replace(microsecond=0) - timedelta(seconds=2)
    schedule = ScheduleFactory(
        kind="interval", expression="PT1H", starts_at=at.replace(tzinfo=None) - timedelta(days=1), next_fire_at=at
    )
    reaching = {"start": (at - timedelta(hours=2)).isoformat(), "end": at.isoformat()}

    with pytest.raises(NotValid) as refused:
        create(actor, schedule, **reaching)
    run_pass()
    schedule.refresh_from_db()
    missing = create(actor, schedule, **reaching)

    assert [(each.pointer, each.code) for each in refused.value.problems] == [("/end", "not_fired_yet")]
    BackfillPacer().turn()
    assert missing.total_count == 3
    assert Run.objects.filter(scheduled_for=at).count() == 1
