"""Schedules: what is refused, where the mark stands after an edit, a pause and the end of a rule."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.clock.firing import run_pass
from scheduling.errors import IllegalTransition, NotValid, VersionMismatch
from scheduling.instants import database_now
from scheduling.models import Miss, Run, Schedule
from scheduling.schedules import operations
from scheduling.schedules.models import ScheduleState
from scheduling.tasks.operations import archive_task, pause_task
from tests.factories import ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(db):
    return TaskFactory()


def add(actor, task, **definition):
    return operations.add_schedule(actor=actor, task=task, definition={"kind": "cron", **definition})


@pytest.mark.parametrize(
    ("definition", "pointer"),
    [
        ({"expression": "30 8 *"}, "/expression"),
        ({"expression": "0 0 30 2 *"}, "/expression"),
        ({"expression": ""}, "/expression"),
        ({"expression": "0 8 * * *", "timezone": "Foo/Bar"}, "/timezone"),
        ({"expression": "0 8 * * *", "timezone": ""}, "/timezone"),
        ({"expression": "0 8 * * *", "kind": "crom"}, "/kind"),
        ({"expression": "0 8 * * *", "starts_at": "2026-01-01"}, "/starts_at"),
        (
            {"expression": "0 8 * * *", "starts_at": "2025-10-26T02:30:00+01:00", "timezone": "Europe/Berlin"},
            "/starts_at",
        ),
        ({"expression": "0 8 * * *", "misfire": {"policy": "latest"}}, "/misfire/policy"),
        ({"expression": "0 8 * * *", "misfire": {"grace": 30}}, "/misfire/grace"),
        ({"expression": "0 8 * * *", "exdates": ["yesterday"]}, "/exdates/0"),
        ({"expression": "0 8 * * *", "jiter": "PT5S"}, "/jiter"),
        ({"kind": "rrule", "expression": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "/expression"),
        ({"kind": "interval", "expression": "PT0S"}, "/expression"),
        ({"kind": "once", "expression": "2020-01-01T00:00:00Z"}, "/expression"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(actor, task, definition, pointer):
    with pytest.raises(NotValid) as refused:
        add(actor, task, **definition)

    assert [problem.pointer for problem in refused.value.problems] == [pointer]
    assert not Schedule.objects.exists()


def test_times_with_an_offset_are_brought_into_the_zone(actor, task):
    schedule = add(
        actor,
        task,
        expression="0 8 * * *",
        timezone="Europe/Chisinau",
        starts_at="2026-01-01T00:00:00Z",
        ends_at="2099-01-01T00:00:00",
    )

    assert schedule.starts_at == datetime(2026, 1, 1, 2)
    assert schedule.ends_at == datetime(2098, 12, 31, 22, tzinfo=UTC)


def test_an_end_that_comes_twice_is_the_second_time(actor, task):
    schedule = add(actor, task, expression="30 2 * * *", timezone="Europe/Berlin", ends_at="2090-10-29T02:30:00")

    assert schedule.ends_at == datetime(2090, 10, 29, 1, 30, tzinfo=UTC)


def test_a_rule_that_has_ended_is_stored_as_completed(actor, task):
    ended = add(
        actor, task, kind="rrule", expression="FREQ=DAILY;UNTIL=20200101T000000Z", starts_at="2019-12-01T08:00:00"
    )

    assert (ended.state, ended.next_fire_at) == (ScheduleState.COMPLETED, None)


def test_an_instant_that_passed_within_the_grace_still_fires(actor, task):
    just_now = database_now() - timedelta(seconds=20)

    schedule = add(actor, task, kind="once", expression=just_now.isoformat())

    assert schedule.state == ScheduleState.ACTIVE
    assert schedule.next_fire_at == just_now.replace(microsecond=0) or schedule.next_fire_at == just_now


def test_an_instant_that_passed_within_the_grace_fires_before_its_additions(actor, task):
    just_now = database_now() - timedelta(seconds=20)

    schedule = add(
        actor,
        task,
        kind="once",
        expression=just_now.isoformat(),
        rdates=[(just_now - timedelta(seconds=5)).isoformat(), "2090-01-01T00:00:00"],
    )
    run_pass()

    schedule.refresh_from_db()
    assert Run.objects.get().scheduled_for == just_now
    assert (schedule.next_fire_at, schedule.missed_count) == (datetime(2090, 1, 1, tzinfo=UTC), 0)


def test_a_passed_instant_with_an_addition_ahead_is_a_schedule_of_the_addition(actor, task):
    month_ago = database_now() - timedelta(days=30)

    schedule = add(actor, task, kind="once", expression=month_ago.isoformat(), rdates=["2090-01-01T00:00:00"])

    assert (schedule.state, schedule.next_fire_at) == (ScheduleState.ACTIVE, datetime(2090, 1, 1, tzinfo=UTC))
    with pytest.raises(NotValid) as refused:
        add(actor, task, kind="once", expression=month_ago.isoformat(), rdates=["2020-01-01T00:00:00"])
    assert [problem.code for problem in refused.value.problems] == ["in_the_past"]


def test_an_edit_moves_the_mark_to_the_first_occurrence_after_now(actor, task):
    schedule = add(actor, task, expression="0 9 * * *")

    edited = operations.update_schedule(actor=actor, schedule=schedule, changes={"expression": "0 15 * * *"})

    assert edited.next_fire_at.hour == 15
    assert edited.next_fire_at is not None
    assert edited.next_fire_at > database_now()
    assert edited.version == schedule.version + 1


def test_an_edit_that_says_nothing_of_when_leaves_the_mark(actor, task):
    mark = datetime(2026, 1, 1, 8, tzinfo=UTC)
    schedule = ScheduleFactory(task=task, next_fire_at=mark)

    edited = operations.update_schedule(actor=actor, schedule=schedule, changes={"misfire": {"policy": "all"}})

    assert edited.next_fire_at == mark
    assert (edited.misfire_policy, edited.misfire_grace) == ("all", timedelta(minutes=1))


def test_an_edit_brings_a_completed_schedule_back(actor, task):
    schedule = add(
        actor, task, kind="rrule", expression="FREQ=DAILY;UNTIL=20200101T000000Z", starts_at="2019-12-01T08:00:00"
    )

    edited = operations.update_schedule(actor=actor, schedule=schedule, changes={"expression": "FREQ=DAILY"})

    assert edited.state == ScheduleState.ACTIVE
    assert edited.next_fire_at is not None


def test_an_edit_that_makes_no_rule_changes_nothing(actor, task):
    schedule = add(actor, task, expression="0 9 * * *")

    with pytest.raises(NotValid) as refused:
        operations.update_schedule(actor=actor, schedule=schedule, changes={"timezone": "Europe/Chisinow"})

    assert refused.value.problems[0].pointer == "/timezone"
    assert Schedule.objects.get().timezone == "UTC"


def test_an_edit_of_what_was_edited_since_is_refused_and_a_firing_is_no_edit(actor, task):
    schedule = add(actor, task, expression="0 9 * * *")
    read_at = Schedule.objects.get().updated_at
    Schedule.objects.update(version=7, fired_count=1)

    operations.update_schedule(
        actor=actor, schedule=schedule, changes={"expression": "0 10 * * *"}, unchanged_since=read_at
    )
    Schedule.objects.update(updated_at=read_at + timedelta(seconds=1))

    with pytest.raises(VersionMismatch):
        operations.update_schedule(
            actor=actor, schedule=schedule, changes={"expression": "0 11 * * *"}, unchanged_since=read_at
        )


def test_pausing_and_resuming_counts_what_passed(actor, task):
    now = database_now()
    schedule = ScheduleFactory(task=task, next_fire_at=(now - timedelta(minutes=3)).replace(second=0, microsecond=0))

    paused = operations.pause_schedule(actor=actor, schedule=schedule, reason="noise")
    resumed = operations.resume_schedule(actor=actor, schedule=schedule)

    assert (paused.state, paused.state_reason) == (ScheduleState.PAUSED, "noise")
    assert resumed.state == ScheduleState.ACTIVE
    assert resumed.next_fire_at is not None
    assert resumed.next_fire_at > now
    assert Miss.objects.get().count == resumed.missed_count > 0


def test_resuming_a_rule_of_which_the_clocks_leave_nothing_is_refused(actor, task):
    schedule = ScheduleFactory(
        task=task,
        expression="30 2 * 3 7#2",
        timezone="America/New_York",
        gap="skip",
        starts_at=datetime(2000, 1, 1),  # by the rules of before 2007 it occurs
        next_fire_at=database_now() - timedelta(minutes=3),
    )
    operations.pause_schedule(actor=actor, schedule=schedule)

    with pytest.raises(NotValid) as refused:
        operations.resume_schedule(actor=actor, schedule=schedule)

    assert [problem.code for problem in refused.value.problems] == ["never_occurs"]


def test_counting_stops_where_a_pause_was_long(actor, task):
    schedule = ScheduleFactory(
        task=task, kind="interval", expression="PT1S", next_fire_at=database_now() - timedelta(days=1)
    )
    operations.pause_schedule(actor=actor, schedule=schedule)

    operations.resume_schedule(actor=actor, schedule=schedule)

    miss = Miss.objects.get()
    assert (miss.count, miss.is_at_least) == (10_000, True)
    # Counted or not, nothing lies between the miss and the mark.
    schedule.refresh_from_db()
    assert schedule.next_fire_at == miss.last_at + timedelta(seconds=1)


def test_an_edit_of_a_schedule_that_has_much_to_catch_up_leaves_no_hole(actor, task):
    schedule = ScheduleFactory(
        task=task, kind="interval", expression="PT1S", next_fire_at=database_now() - timedelta(hours=10)
    )

    operations.update_schedule(actor=actor, schedule=schedule, changes={"expression": "PT2S"})

    miss = Miss.objects.get()
    schedule.refresh_from_db()
    assert (miss.count, miss.is_at_least) == (10_000, True)
    assert schedule.next_fire_at - miss.last_at <= timedelta(seconds=2)


def test_a_schedule_that_resumes_under_a_paused_task_is_counted_when_the_task_resumes(actor, task):
    schedule = ScheduleFactory(task=task)
    operations.pause_schedule(actor=actor, schedule=schedule)
    pause_task(actor=actor, task=task)

    resumed = operations.resume_schedule(actor=actor, schedule=schedule)

    assert resumed.state == ScheduleState.ACTIVE
    assert resumed.held_at is not None
    assert not Miss.objects.exists()


def test_a_completed_schedule_cannot_resume(actor, task):
    schedule = ScheduleFactory(task=task, state=ScheduleState.COMPLETED, next_fire_at=None)

    with pytest.raises(IllegalTransition) as refused:
        operations.resume_schedule(actor=actor, schedule=schedule)

    assert refused.value.allowed_actions == ("update", "delete")


def test_an_archived_task_takes_no_schedule(actor, task):
    archive_task(actor=actor, task=task)

    with pytest.raises(IllegalTransition):
        add(actor, task, expression="0 9 * * *")


def test_a_schedule_of_a_paused_task_is_held(actor, task):
    pause_task(actor=actor, task=task)

    assert add(actor, task, expression="0 9 * * *").held_at is not None


def test_deleting_keeps_what_it_was_in_the_audit_trail(actor, task):
    from scheduling.audit.models import AuditEntry

    schedule = add(actor, task, expression="0 9 * * *")

    operations.delete_schedule(actor=actor, schedule=schedule)

    assert not Schedule.objects.exists()
    entry = AuditEntry.objects.get(action="schedule.delete")
    assert entry.before["expression"] == "0 9 * * *"


def test_an_end_before_the_start_is_refused_and_nothing_stored(actor):
    task = TaskFactory()
    definition = {
        "kind": "cron",
        "expression": "0 8 * * *",
        "starts_at": "2030-01-01T00:00:00",
        "ends_at": "2029-01-01T00:00:00Z",
    }

    with pytest.raises(NotValid) as refused:
        operations.add_schedule(actor=actor, task=task, definition=definition)

    assert (refused.value.pointer, refused.value.problems[0].code) == ("/ends_at", "ends_before_it_starts")
    assert not Schedule.objects.exists()
