"""A hole that the auditor has not seen yet is told all the same when an operation changes rule or mark, and once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduling.audit.operations import Actor
from scheduling.calendars.operations import update_calendar
from scheduling.clock import metrics
from scheduling.clock.accounting import Auditor
from scheduling.clock.firing import run_pass
from scheduling.errors import NotValid
from scheduling.events.models import Event
from scheduling.models import Miss, Run, Schedule
from scheduling.schedules import holes
from scheduling.schedules.models import MissReason, ScheduleState
from scheduling.schedules.operations import pause_schedule, reopen, resume_schedule, update_schedule
from scheduling.tasks.operations import pause_task, resume_task
from tests.factories import CalendarFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
HOUR = timedelta(hours=1)
JUST = timedelta(microseconds=1)


def this_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def skipping(hours: int = 4, **fields: Any) -> Schedule:
    """Hourly, not due: its mark has skipped the last `hours` occurrences without a run or a reason."""
    at = this_hour()
    seen = at - hours * HOUR
    defaults = {"expression": "0 * * * *", "next_fire_at": at + HOUR, "accounted_until": seen, "fired_count": 1}
    return ScheduleFactory(**{**defaults, **fields})


def fresh(schedule: Schedule) -> Schedule:
    return Schedule.objects.get(pk=schedule.pk)


def change_calendar(schedule: Schedule) -> None:
    calendar = CalendarFactory(agent=schedule.task.agent, dates=["2030-12-26"], days=["2030-12-26"])
    Schedule.objects.filter(pk=schedule.pk).update(calendars=[calendar.pk])
    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": ["2030-12-27"]})


def open_past_days(schedule: Schedule) -> None:
    """Today and yesterday were open, and are closed afterwards, when nothing more is named of them."""
    days = [(this_hour() - each * timedelta(days=1)).date().isoformat() for each in (0, 1)]
    calendar = CalendarFactory(agent=schedule.task.agent)
    Schedule.objects.filter(pk=schedule.pk).update(calendars=[calendar.pk])
    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": days})


def edit(**changes: Any) -> Callable[[Schedule], Any]:
    return lambda schedule: update_schedule(actor=ACTOR, schedule=schedule, changes=changes)


def pause_and_resume(schedule: Schedule) -> None:
    pause_schedule(actor=ACTOR, schedule=schedule)
    resume_schedule(actor=ACTOR, schedule=fresh(schedule))


def quarantine_and_resume(schedule: Schedule) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(state="quarantined", state_reason="x")
    resume_schedule(actor=ACTOR, schedule=fresh(schedule))


def hold_and_release(schedule: Schedule) -> None:
    pause_task(actor=ACTOR, task=schedule.task)
    resume_task(actor=ACTOR, task=schedule.task)


def pause_and_edit(schedule: Schedule) -> None:
    pause_schedule(actor=ACTOR, schedule=schedule)
    edit(expression="30 3 * * *")(fresh(schedule))


CHANGES = {
    "calendar": change_calendar,
    "calendar_of_the_past": open_past_days,
    "end": edit(ends_at="2090-01-01T00:00:00Z"),
    "other_rule": edit(expression="*/5 * * * *"),
    "start": edit(starts_at="2099-01-01T00:00:00"),
    "maximum": edit(max_occurrences=1),
    "more": edit(max_occurrences=50),
    "pause": pause_and_resume,
    "quarantine": quarantine_and_resume,
    "task": hold_and_release,
    "pause_and_edit": pause_and_edit,
}


@pytest.mark.parametrize("is_due", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_a_hole_outlives_a_change(name: str, is_due: bool) -> None:
    schedule = skipping(next_fire_at=this_hour() + (HOUR if not is_due else timedelta(0)))
    expected = 3 if is_due else 4  # the mark itself is not passed over
    before = metrics.DID_NOT_RUN._value.get()

    with capture_logs() as logs:
        CHANGES[name](schedule)
        Auditor().round(spend=5)
        Auditor().round(spend=5)

    unaccounted = Miss.objects.get(reason=MissReason.UNACCOUNTED)
    event = Event.objects.get(topic="schedule.did_not_run")
    first = this_hour() - 3 * HOUR
    assert (unaccounted.first_at, unaccounted.count) == (first, expected)
    assert (event.payload["first_at"], event.payload["count"]) == (first.isoformat(), expected)
    assert [each["count"] for each in logs if each["event"] == "schedule.did_not_run"] == [expected]
    assert metrics.DID_NOT_RUN._value.get() == before + expected
    reasons = Miss.objects.filter(schedule=schedule).values_list("count", flat=True)
    assert fresh(schedule).missed_count == sum(reasons)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_one_that_ran_is_no_alarm(name: str) -> None:
    schedule = skipping(next_fire_at=this_hour() - 3 * HOUR, misfire_policy="all")
    run_pass()
    assert Run.objects.count() == 4

    CHANGES[name](fresh(schedule))

    assert Auditor().round(spend=5) == 0
    assert not Event.objects.filter(topic="schedule.did_not_run").exists()


def test_what_is_still_to_come_when_a_pause_ends_is_told_when_its_time_has_come() -> None:
    schedule = skipping(next_fire_at=this_hour() + 10 * HOUR)

    pause_and_resume(schedule)

    assert Auditor().round(spend=5) == 4
    assert fresh(schedule).accounted_until == this_hour()


def test_one_that_is_completed_keeps_its_holes_when_it_goes_on() -> None:
    at = this_hour()
    schedule = skipping(
        max_occurrences=1, state=ScheduleState.COMPLETED, next_fire_at=None, last_fired_at=at - 2 * HOUR
    )

    edit(max_occurrences=9)(schedule)

    assert Miss.objects.get().count == 2
    assert fresh(schedule).next_fire_at == at + HOUR
    assert Auditor().round(spend=5) == 0


def test_one_that_is_opened_again_owes_nothing_for_the_time_it_was_over() -> None:
    at = this_hour()
    schedule = skipping(
        max_occurrences=2, state=ScheduleState.COMPLETED, next_fire_at=None, last_fired_at=at - 2 * HOUR
    )

    reopen([schedule.pk])

    assert Miss.objects.get().last_at == at - 2 * HOUR
    assert Auditor().round(spend=5) == 0


def test_who_listens_for_a_hole_is_started_by_a_change() -> None:
    listener = ScheduleFactory(kind="event", expression="schedule.did_not_run", next_fire_at=None)

    edit(expression="*/5 * * * *")(skipping())

    assert Run.objects.get().schedule_id == listener.pk


def test_a_change_that_is_refused_tells_nothing() -> None:
    schedule = skipping(kind="once", expression=this_hour().isoformat(), accounted_until=this_hour() - HOUR)

    with capture_logs() as logs, pytest.raises(NotValid):
        edit(expression="2001-01-01T00:00:00")(schedule)

    assert not [entry for entry in logs if entry["event"] == "schedule.did_not_run"]
    assert Auditor().round(spend=5) == 1


def test_a_rule_that_cannot_be_read_is_mended_and_what_was_not_looked_at_is_said() -> None:
    schedule = skipping(timezone="Nowhere/AtAll")

    with capture_logs() as logs:
        edit(timezone="UTC")(schedule)

    (word,) = [entry for entry in logs if entry["event"] == "schedule.not_audited"]
    assert (word["schedule"], word["since"]) == (str(schedule.pk), (this_hour() - 4 * HOUR).isoformat())
    assert Auditor().round(spend=5) == 0


def test_what_a_change_looks_for_is_bounded_and_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holes, "AT_MOST", 40)
    task = TaskFactory()
    calendar = CalendarFactory(agent=task.agent)
    dear = [skipping(task=task, hours=1000, calendars=[calendar.pk]) for _ in range(2)]
    cheap = [skipping(task=task, hours=2, calendars=[calendar.pk]) for _ in range(2)]

    with capture_logs() as logs:
        update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": ["2030-12-27"]})

    told = {miss.schedule_id: miss.count for miss in Miss.objects.all()}
    assert sum(told.values()) <= 40
    assert [told[each.pk] for each in cheap] == [2, 2]
    assert all(told[each.pk] >= 10 for each in dear)
    words = {entry["schedule"] for entry in logs if entry["event"] == "schedule.not_audited"}
    assert words == {str(each.pk) for each in dear}


def test_the_time_that_a_change_takes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holes, "SPEND", 0)

    with capture_logs() as logs:
        edit(expression="*/5 * * * *")(skipping())

    assert Miss.objects.get().count == 1
    (word,) = [entry for entry in logs if entry["event"] == "schedule.not_audited"]
    assert word["since"] == (this_hour() - 3 * HOUR).isoformat()


@pytest.mark.parametrize("resumes", [False, True])
def test_a_calendar_that_changes_under_a_quarantined_schedule_hides_no_hole_and_makes_none(resumes: bool) -> None:
    at = this_hour()
    schedule = skipping(state="quarantined", state_reason="x", fired_count=3)
    calendar = CalendarFactory(agent=schedule.task.agent, dates=["2030-12-26"], days=["2030-12-26"])
    Schedule.objects.filter(pk=schedule.pk).update(calendars=[calendar.pk])
    soon = {at.date().isoformat(), (at + HOUR).date().isoformat()}

    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": sorted(soon)})
    if resumes:
        resume_schedule(actor=ACTOR, schedule=fresh(schedule))
    Auditor().round(spend=5)

    assert Miss.objects.get().count == 4
    now = fresh(schedule)
    assert now.state == ("active" if resumes else "quarantined")
    assert now.next_fire_at is not None
    assert (now.next_fire_at.date().isoformat() in soon) is not resumes


def test_days_that_a_calendar_gives_back_make_no_hole_of_a_quarantined_schedule() -> None:
    at = this_hour()
    days = sorted({(at - each * HOUR).date().isoformat() for each in range(5)})
    schedule = skipping(state="quarantined", state_reason="x")
    calendar = CalendarFactory(agent=schedule.task.agent, dates=days, days=days)
    Schedule.objects.filter(pk=schedule.pk).update(calendars=[calendar.pk])

    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": ["2030-12-26"]})

    assert Auditor().round(spend=5) == 0
    assert not Miss.objects.exists()
