"""Exclusion calendars: what is refused, and what a change of one does to the schedules that name it."""

from datetime import UTC, date, datetime, timedelta

import pytest

from scheduling.audit.models import AuditEntry
from scheduling.calendars import operations
from scheduling.calendars.operations import CalendarInUse
from scheduling.core.preview import preview
from scheduling.errors import KeyTaken, LimitReached, NotValid, VersionMismatch
from scheduling.instants import database_now
from scheduling.models import Calendar, Schedule, Task
from scheduling.schedules import operations as schedule_operations
from scheduling.schedules.models import ScheduleState
from scheduling.schedules.rules import rule_of
from scheduling.tasks.operations import create_task
from tests.factories import AgentFactory, CalendarFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db

EVERY_OTHER_DAY = [(date(2026, 1, 1) + timedelta(days=2 * at)).isoformat() for at in range(1001)]
DAILY = {"kind": "cron", "expression": "0 9 * * *"}


@pytest.fixture
def task(agent):
    return TaskFactory(agent=agent)


def make(actor, agent, **definition):
    return operations.create_calendar(actor=actor, agent=agent, definition={"key": "holidays", **definition})


def coming(days: int) -> list[str]:
    """The next `days` days, today included."""
    today = database_now().date()
    return [(today + timedelta(days=at)).isoformat() for at in range(days)]


def test_dates_and_text_are_joined(actor, agent):
    ics = "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20261225\nEND:VEVENT\nEND:VCALENDAR\n"

    calendar = make(actor, agent, dates=["2026-12-31", "2026-12-25", "2026-12-31"], ics=ics)

    assert calendar.dates == [date(2026, 12, 25), date(2026, 12, 31)]
    assert calendar.days == [date(2026, 12, 25), date(2026, 12, 31)]
    assert AuditEntry.objects.get().action == "calendar.create"


@pytest.mark.parametrize(
    ("definition", "pointer", "code"),
    [
        ({"dates": ["2026-02-30"]}, "/dates/0", "invalid_date"),
        ({"dates": [20261225]}, "/dates/0", "wrong_type"),
        ({"dates": ["20261225"]}, "/dates/0", "invalid_date"),
        ({"key": "my holidays"}, "/key", "invalid_slug"),
        ({"ics": "hello"}, "/ics", "invalid_calendar"),
        ({"dats": []}, "/dats", "unknown_field"),
        ({"dates": EVERY_OTHER_DAY}, "/dates", "too_many_stretches"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(actor, agent, definition, pointer, code):
    with pytest.raises(NotValid) as refused:
        make(actor, agent, **definition)

    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [(pointer, code)]
    assert not Calendar.objects.exists()


def test_a_key_is_unique_for_its_agent(actor, agent):
    make(actor, agent)

    with pytest.raises(KeyTaken):
        make(actor, agent)
    make(actor, AgentFactory())


def test_an_agent_has_a_limit_of_calendars(actor, agent, monkeypatch):
    monkeypatch.setattr(operations, "CALENDARS_LIMIT", 1)
    make(actor, agent)

    with pytest.raises(LimitReached):
        make(actor, agent, key="other")


def test_a_schedule_leaves_out_the_days_of_the_calendars_that_it_names(actor, agent, task):
    make(actor, agent, dates=coming(3))

    schedule = schedule_operations.add_schedule(actor=actor, task=task, definition={**DAILY, "calendars": ["holidays"]})

    assert schedule.next_fire_at is not None
    assert schedule.next_fire_at.date() == database_now().date() + timedelta(days=3)


def test_a_preview_of_the_schedule_notes_what_its_calendar_excludes(actor, agent, task):
    make(actor, agent, dates=["2030-12-25"])
    schedule = schedule_operations.add_schedule(actor=actor, task=task, definition={**DAILY, "calendars": ["holidays"]})

    shown = preview(rule_of(schedule), after=datetime(2030, 12, 24, tzinfo=UTC), now=database_now(), count=2)

    assert [each.utc for each in shown.next] == ["2030-12-24T09:00:00Z", "2030-12-26T09:00:00Z"]
    assert shown.notes == ("2030-12-25 09:00 is excluded by calendar holidays.",)


def test_a_calendar_of_another_agent_or_of_none_cannot_be_named(actor, task):
    CalendarFactory(key="theirs")

    with pytest.raises(NotValid) as refused:
        schedule_operations.add_schedule(actor=actor, task=task, definition={**DAILY, "calendars": ["theirs"]})

    assert (refused.value.problems[0].pointer, refused.value.problems[0].code) == ("/calendars/0", "unknown_calendar")
    assert not Schedule.objects.exists()


def test_a_task_with_an_unknown_calendar_is_refused_at_its_schedule(actor, agent):
    definition = {
        "key": "note",
        "pipeline": {"version": 1, "steps": [{"id": "note", "set": {"done": True}}]},
        "schedules": [DAILY, {**DAILY, "calendars": ["nowhere"]}],
    }

    with pytest.raises(NotValid) as refused:
        create_task(actor=actor, agent=agent, definition=definition)

    assert refused.value.problems[0].pointer == "/schedules/1/calendars/0"


def test_an_instant_that_a_calendar_excludes_is_refused(actor, agent, task):
    make(actor, agent, dates=["2030-12-25"])
    once = {"kind": "once", "expression": "2030-12-25T09:00:00", "calendars": ["holidays"]}

    with pytest.raises(NotValid) as refused:
        schedule_operations.add_schedule(actor=actor, task=task, definition=once)

    assert refused.value.problems[0].pointer == "/calendars"


def test_a_changed_calendar_moves_the_marks_of_the_schedules_that_name_it(actor, agent, task):
    calendar = make(actor, agent)
    schedule = ScheduleFactory(
        task=task,
        calendars=[calendar.pk],
        expression="0 9 * * *",
        next_fire_at=database_now().replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=1),
    )
    other = ScheduleFactory(task=task, expression="0 9 * * *", next_fire_at=schedule.next_fire_at)

    operations.update_calendar(actor=actor, calendar=calendar, changes={"dates": coming(5)})

    moved = Schedule.objects.get(pk=schedule.pk)
    assert moved.next_fire_at.date() == database_now().date() + timedelta(days=5)
    assert moved.version == schedule.version + 1
    assert Schedule.objects.get(pk=other.pk).next_fire_at == other.next_fire_at


def test_a_freed_day_fires_again_and_nothing_of_the_past_does(actor, agent, task):
    calendar = make(actor, agent, dates=coming(5))
    schedule = schedule_operations.add_schedule(actor=actor, task=task, definition={**DAILY, "calendars": ["holidays"]})

    operations.update_calendar(actor=actor, calendar=calendar, changes={"dates": []})

    moved = Schedule.objects.get(pk=schedule.pk)
    assert moved.next_fire_at is not None
    assert database_now() < moved.next_fire_at <= database_now() + timedelta(days=1)


def test_a_due_mark_stays_for_the_pass(actor, agent, task):
    calendar = make(actor, agent)
    due = ScheduleFactory(task=task, calendars=[calendar.pk])

    operations.update_calendar(actor=actor, calendar=calendar, changes={"dates": ["2030-01-01"]})

    assert Schedule.objects.get(pk=due.pk).next_fire_at == due.next_fire_at


def test_a_paused_schedule_stays_paused_with_its_reason(actor, agent, task):
    calendar = make(actor, agent)
    schedule = schedule_operations.add_schedule(actor=actor, task=task, definition={**DAILY, "calendars": ["holidays"]})
    schedule_operations.pause_schedule(actor=actor, schedule=schedule, reason="noise")

    operations.update_calendar(actor=actor, calendar=calendar, changes={"dates": coming(2)})

    held = Schedule.objects.get()
    assert (held.state, held.state_reason) == (ScheduleState.PAUSED, "noise")


def test_naming_a_calendar_is_a_change_of_the_rule(actor, agent, task):
    make(actor, agent, dates=coming(3))
    schedule = schedule_operations.add_schedule(actor=actor, task=task, definition=DAILY)

    named = schedule_operations.update_schedule(actor=actor, schedule=schedule, changes={"calendars": ["holidays"]})
    freed = schedule_operations.update_schedule(actor=actor, schedule=schedule, changes={"calendars": []})

    assert named.next_fire_at.date() == database_now().date() + timedelta(days=3)
    assert freed.next_fire_at == schedule.next_fire_at


def test_a_calendar_that_schedules_name_is_not_deleted(actor, agent, task):
    calendar = make(actor, agent)
    schedule = schedule_operations.add_schedule(actor=actor, task=task, definition={**DAILY, "calendars": ["holidays"]})

    with pytest.raises(CalendarInUse) as refused:
        operations.delete_calendar(actor=actor, calendar=calendar)
    schedule_operations.update_schedule(actor=actor, schedule=schedule, changes={"calendars": []})
    operations.delete_calendar(actor=actor, calendar=calendar)

    assert str(schedule.pk) in refused.value.detail
    assert Task.objects.get().key in refused.value.detail
    assert not Calendar.objects.exists()


def test_an_edit_of_what_was_changed_since_is_refused(actor, agent):
    calendar = make(actor, agent)
    operations.update_calendar(actor=actor, calendar=calendar, changes={"title": "Days off"}, expected_version=1)

    with pytest.raises(VersionMismatch):
        operations.update_calendar(actor=actor, calendar=calendar, changes={"title": "x"}, expected_version=1)


def test_an_edit_that_changes_nothing_writes_nothing(actor, agent):
    calendar = make(actor, agent, dates=["2030-12-25"])

    operations.update_calendar(actor=actor, calendar=calendar, changes={"dates": ["2030-12-25"]})

    assert Calendar.objects.get().version == 1
    assert AuditEntry.objects.count() == 1


def test_a_broken_change_leaves_the_calendar_as_it_was(actor, agent):
    calendar = make(actor, agent, dates=["2030-12-25"])

    with pytest.raises(NotValid):
        operations.update_calendar(actor=actor, calendar=calendar, changes={"dates": ["2030-12-26"], "ics": "x"})

    assert Calendar.objects.get().days == [date(2030, 12, 25)]


def test_the_calendars_of_a_schedule_are_few_enough_to_search_together(actor, agent, task):
    half = EVERY_OTHER_DAY[:600]
    make(actor, agent, dates=half)
    other = make(actor, agent, key="other", dates=half)
    both = {**DAILY, "calendars": ["holidays", "other"]}

    with pytest.raises(NotValid) as at_naming:
        schedule_operations.add_schedule(actor=actor, task=task, definition=both)
    operations.update_calendar(actor=actor, calendar=other, changes={"dates": half[:100]})
    schedule = schedule_operations.add_schedule(actor=actor, task=task, definition=both)
    with pytest.raises(NotValid) as at_growing:
        operations.update_calendar(actor=actor, calendar=other, changes={"dates": half})

    assert [(each.pointer, each.code) for each in at_naming.value.problems] == [("/calendars", "too_many_stretches")]
    assert at_growing.value.problems[0].code == "too_many_stretches"
    assert str(schedule.pk) in at_growing.value.detail
    assert len(Calendar.objects.get(key="other").days) == 100
