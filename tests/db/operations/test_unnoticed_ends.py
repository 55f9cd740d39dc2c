"""A snooze that is over, and that no clock has come to yet: whoever changes the schedule finds it resumed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Sum

from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.calendars.operations import update_calendar
from scheduling.clock.firing import run_pass
from scheduling.clock.jobs import end_snoozes
from scheduling.errors import IllegalTransition, VersionMismatch
from scheduling.instants import database_now
from scheduling.models import DueWork, Miss, Run, Schedule, Task
from scheduling.runs.operations import start_run
from scheduling.runs.states import Gate
from scheduling.schedules.operations import add_schedule, pause_schedule, resume_schedule, update_schedule
from scheduling.tasks.operations import end_snooze, pause_task, resume_task
from tests.by_hand import write_by_hand
from tests.factories import CalendarFactory, DueWorkFactory, RunFactory, ScheduleFactory, TaskFactory
from tests.invariants import broken_invariants

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
HOUR = timedelta(hours=1)


def this_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def snoozed(*, own: bool, of_task: bool, **columns: Any) -> Schedule:
    """Hourly, three hours of it paused and two after that, which are due by now. Where both were paused, the task's
    pause was the longer one."""
    mark, over = this_hour() - 4 * HOUR, this_hour() - 1.5 * HOUR
    task = TaskFactory()
    if of_task:
        task = TaskFactory(state="paused", paused_at=mark - HOUR, paused_until=over)
        columns |= {"held_at": mark - HOUR}
    if own:
        columns |= {"state": "paused", "state_reason": "noise", "paused_until": over - HOUR if of_task else over}
    return ScheduleFactory(task=task, expression="0 * * * *", next_fire_at=mark, misfire_policy="all", **columns)


def missed(schedule: Schedule) -> dict[str, int]:
    sums = Miss.objects.filter(schedule=schedule).values("reason").annotate(total=Sum("count"))
    return {each["reason"]: each["total"] for each in sums}


def change(schedule: Schedule, **changes: Any) -> Schedule:
    return update_schedule(actor=ACTOR, schedule=schedule, changes=changes)


over = pytest.mark.parametrize(
    ("own", "of_task"), [(True, False), (False, True), (True, True)], ids=["own", "of the task", "both"]
)


@over
def test_an_edit_of_the_rule_takes_what_came_after_the_snooze_as_due(own: bool, of_task: bool) -> None:
    schedule = snoozed(own=own, of_task=of_task)

    changed = change(schedule, expression="30 * * * *")

    assert missed(schedule) == {"paused": 3, "edited": 2}
    assert (changed.state, changed.state_reason, changed.paused_until, changed.held_at) == ("active", "", None, None)
    assert changed.missed_count == 5
    assert changed.next_fire_at is not None
    assert changed.next_fire_at > database_now()
    assert Task.objects.get(pk=schedule.task_id).state == "active"
    end_snoozes()
    assert missed(schedule) == {"paused": 3, "edited": 2}


@over
def test_a_lowered_maximum_takes_what_came_after_the_snooze_as_due(own: bool, of_task: bool) -> None:
    schedule = snoozed(own=own, of_task=of_task, fired_count=1)

    changed = change(schedule, max_occurrences=1)

    assert missed(schedule) == {"paused": 3, "edited": 2}
    assert (changed.state, changed.next_fire_at) == ("completed", None)


@over
@pytest.mark.parametrize("changes", [{"max_occurrences": 9}, {"jitter": "PT1S"}], ids=["maximum", "jitter"])
def test_an_edit_that_leaves_the_rule_leaves_what_is_due_to_the_clock(
    changes: dict[str, Any], own: bool, of_task: bool
) -> None:
    schedule = snoozed(own=own, of_task=of_task)

    change(schedule, **changes)
    run_pass()

    fired = Run.objects.filter(schedule=schedule).order_by("scheduled_for").values_list("scheduled_for", flat=True)
    assert list(fired) == [this_hour() - HOUR, this_hour()]
    assert missed(schedule) == {"paused": 3}


@over
def test_a_pause_after_a_snooze_is_another_pause(own: bool, of_task: bool) -> None:
    schedule = snoozed(own=own, of_task=of_task)

    paused = pause_schedule(actor=ACTOR, schedule=schedule, reason="again")

    assert (paused.state, paused.state_reason, paused.paused_until) == ("paused", "again", None)
    assert (missed(schedule), paused.next_fire_at) == ({"paused": 3}, this_hour() - HOUR)
    entries = AuditEntry.objects.filter(object_id=str(schedule.pk)).order_by("id")
    expected = [("clock", "schedule.resume")] if own else []
    assert list(entries.values_list("actor_label", "action")) == [*expected, ("tests", "schedule.pause")]
    end_snoozes()
    assert Schedule.objects.get(pk=schedule.pk).state == "paused"


def test_a_pause_of_a_task_after_a_snooze_is_another_pause() -> None:
    schedule = snoozed(own=False, of_task=True)
    task = schedule.task
    before = DueWorkFactory(run=RunFactory(task=task, created_at=database_now() - 6 * HOUR), gate=Gate.PAUSED)
    since = DueWorkFactory(run=RunFactory(task=task))

    paused = pause_task(actor=ACTOR, task=task, reason="again")

    assert (paused.state, paused.pause_reason, paused.paused_until) == ("paused", "again", None)
    assert paused.paused_at is not None
    assert paused.paused_at > this_hour() - HOUR
    assert missed(schedule) == {"paused": 3}
    assert set(DueWork.objects.filter(pk__in=[before.pk, since.pk]).values_list("gate", flat=True)) == {Gate.PAUSED}
    assert broken_invariants() == {}


def test_a_task_that_was_paused_anew_is_not_resumed_for_its_last_snooze() -> None:
    stale = snoozed(own=False, of_task=True).task
    pause_task(actor=ACTOR, task=stale, reason="again")

    end_snooze(task=stale)

    assert Task.objects.get(pk=stale.pk).state == "paused"


def test_a_schedule_that_somebody_resumes_was_paused_until_then_though_its_task_was_not() -> None:
    schedule = snoozed(own=False, of_task=True)
    Schedule.objects.filter(pk=schedule.pk).update(state="paused")

    resume_schedule(actor=ACTOR, schedule=schedule)
    end_snoozes()
    run_pass()

    assert missed(schedule) == {"paused": 5}
    assert not Run.objects.exists()


def test_a_schedule_that_is_added_after_the_snooze_of_its_task_fires() -> None:
    task = snoozed(own=False, of_task=True).task

    added = add_schedule(actor=ACTOR, task=task, definition={"kind": "cron", "expression": "0 * * * *"})

    assert (added.held_at, Task.objects.get(pk=task.pk).state) == (None, "active")


@pytest.mark.parametrize("act", [change, lambda schedule, **_: pause_schedule(actor=ACTOR, schedule=schedule)])
def test_a_snooze_that_is_not_over_stays(act: Callable[..., Schedule]) -> None:
    schedule = snoozed(own=True, of_task=False)
    Schedule.objects.filter(pk=schedule.pk).update(paused_until=database_now() + HOUR)

    assert act(schedule, expression="30 * * * *").state == "paused"
    assert set(missed(schedule)) <= {"paused"}


def test_who_edits_what_was_read_before_is_not_refused_for_the_end_of_the_snooze() -> None:
    schedule = snoozed(own=True, of_task=False)
    read = Schedule.objects.get(pk=schedule.pk).updated_at

    changed = update_schedule(
        actor=ACTOR, schedule=schedule, changes={"expression": "30 * * * *"}, unchanged_since=read
    )

    assert changed.state == "active"
    with pytest.raises(VersionMismatch):
        update_schedule(actor=ACTOR, schedule=schedule, changes={"expression": "0 * * * *"}, unchanged_since=read)


def test_an_edit_mends_a_schedule_that_could_not_be_resumed() -> None:
    schedule = snoozed(own=True, of_task=False)
    Schedule.objects.filter(pk=schedule.pk).update(timezone="Mars/Olympus")
    with pytest.raises(IllegalTransition):
        pause_schedule(actor=ACTOR, schedule=schedule)

    changed = change(schedule, timezone="UTC")

    assert changed.state == "active"
    assert missed(schedule) == {"paused": 5}


def test_a_resumption_by_hand_of_a_task_whose_snooze_is_over_counts_what_came_before_as_missed() -> None:
    schedule = snoozed(own=False, of_task=True)

    resume_task(actor=ACTOR, task=schedule.task)

    assert missed(schedule) == {"paused": 3}


def test_a_resumption_by_hand_of_a_schedule_whose_snooze_is_over_leaves_what_came_since_to_the_clock() -> None:
    schedule = snoozed(own=True, of_task=False)

    assert resume_schedule(actor=ACTOR, schedule=schedule).state == "active"
    run_pass()

    fired = Run.objects.filter(schedule=schedule).order_by("scheduled_for").values_list("scheduled_for", flat=True)
    assert list(fired) == [this_hour() - HOUR, this_hour()]
    assert missed(schedule) == {"paused": 3}


@pytest.mark.parametrize("first", ["own", "of the task"])
@pytest.mark.parametrize(
    "notice",
    [
        lambda _: end_snoozes(),
        lambda schedule: change(schedule, jitter="PT1S"),
        lambda schedule: resume_schedule(actor=ACTOR, schedule=schedule),
        lambda schedule: resume_task(actor=ACTOR, task=schedule.task),
        lambda schedule: start_run(actor=ACTOR, task=schedule.task),
    ],
    ids=["clock", "edit", "resumption", "resumption of the task", "start by hand"],
)
def test_of_two_snoozes_the_longer_one_counts_whoever_notices(notice: Callable[[Schedule], object], first: str) -> None:
    schedule = snoozed(own=True, of_task=True)
    if first == "of the task":
        own, of_task = schedule.paused_until, schedule.task.paused_until
        Schedule.objects.filter(pk=schedule.pk).update(paused_until=of_task)
        Task.objects.filter(pk=schedule.task_id).update(paused_until=own)

    notice(Schedule.objects.select_related("task").get(pk=schedule.pk))
    end_snoozes()
    run_pass()

    fired = Run.objects.filter(schedule=schedule).order_by("scheduled_for").values_list("scheduled_for", flat=True)
    assert list(fired) == [this_hour() - HOUR, this_hour()]
    assert missed(schedule) == {"paused": 3}


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_plain_pause_in_place_of_the_tasks_snooze_takes_what_comes_until_somebody_resumes_it(
    is_noticed: bool,
) -> None:
    schedule = snoozed(own=True, of_task=True)
    Task.objects.filter(pk=schedule.task_id).update(paused_until=database_now() + HOUR)
    if is_noticed:
        end_snoozes()

    pause_task(actor=ACTOR, task=schedule.task, reason="for good")
    resume_task(actor=ACTOR, task=schedule.task)
    end_snoozes()
    run_pass()

    assert missed(schedule) == {"paused": 5}
    assert not Run.objects.exists()


def test_days_that_a_calendar_gives_back_after_a_snooze_are_not_fired_for_the_past() -> None:
    """Its edit came before anybody had noticed the end of the snooze."""
    schedule = snoozed(own=True, of_task=False)
    hours = [(this_hour() - each * HOUR).date().isoformat() for each in range(6)]
    calendar = CalendarFactory(agent=schedule.task.agent, dates=hours, days=sorted(set(hours)))
    tomorrow = this_hour() + timedelta(days=2)
    Schedule.objects.filter(pk=schedule.pk).update(calendars=[calendar.pk], next_fire_at=tomorrow)

    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": ["2030-12-26"]})
    end_snoozes()
    run_pass()

    assert not Run.objects.exists()
    assert Schedule.objects.get(pk=schedule.pk).next_fire_at == this_hour() + HOUR


@pytest.mark.django_db  # in one transaction, whose end brings the conditions back
def test_one_schedule_that_cannot_be_read_keeps_no_other_snooze_from_its_end() -> None:
    broken, schedule = (snoozed(own=True, of_task=False) for _ in range(2))
    write_by_hand([broken.pk], "exdates = ARRAY['infinity']::timestamp[]")

    assert end_snoozes() == 1

    assert Schedule.objects.get(pk=schedule.pk).state == "active"
