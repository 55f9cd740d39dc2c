"""The hard corners of policies: pauses, snoozes, edits, calendars, maxima and overlap, as the clock lives them."""

from datetime import UTC, date, datetime, timedelta

import pytest

from scheduling.audit.operations import Actor
from scheduling.calendars.operations import update_calendar
from scheduling.clock import jobs
from scheduling.clock.firing import run_pass
from scheduling.instants import database_now
from scheduling.models import Calendar, DueWork, Miss, Run, Schedule, Task
from scheduling.runs.operations import start_run
from scheduling.runs.states import RunState, SkipReason
from scheduling.schedules.accounts import account_for_pause
from scheduling.schedules.models import MissReason, ScheduleState
from scheduling.schedules.operations import (
    delete_schedule,
    pause_schedule,
    resume_schedule,
    update_schedule,
)
from scheduling.tasks.operations import archive_task, pause_task, resume_task, update_task
from tests.factories import CalendarFactory, DueWorkFactory, RunFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ACTOR = Actor.system("tests")


@pytest.fixture(autouse=True)
def simple_judge(settings):
    settings.ORDINAUT_PIPELINE_PORT = "tests.db.operations.judge.Judge"


def daily(**fields: object) -> Schedule:
    """Every day at 09:00 UTC, due at nine on the first of June."""
    return ScheduleFactory(**{"expression": "0 9 * * *", "next_fire_at": NINE, **fields})


def fired() -> list[datetime | None]:
    return list(Run.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True))


def fresh(schedule: Schedule) -> Schedule:
    return Schedule.objects.get(pk=schedule.pk)


def mark_of(schedule: Schedule) -> datetime:
    mark = fresh(schedule).next_fire_at
    assert mark is not None
    return mark


# Calendars


def test_the_clock_leaves_out_the_days_of_a_calendar() -> None:
    calendar = CalendarFactory(days=[date(2026, 6, 2), date(2026, 6, 3)])
    schedule = daily(calendars=[calendar.pk])

    run_pass(now=NINE)

    assert fired() == [NINE]
    assert fresh(schedule).next_fire_at == NINE + 3 * DAY


def test_what_a_calendar_excludes_is_no_miss() -> None:
    calendar = CalendarFactory(days=[date(2026, 6, 1), date(2026, 6, 2)])
    schedule = daily(calendars=[calendar.pk], misfire_policy="all")

    run_pass(now=NINE + 2 * DAY)

    assert fired() == [NINE + 2 * DAY]
    assert fresh(schedule).missed_count == 0


def test_a_changed_calendar_is_read_by_the_next_pass() -> None:
    calendar = CalendarFactory(days=[])
    schedule = daily(calendars=[calendar.pk], task__agent=calendar.agent)
    run_pass(now=NINE)

    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": ["2026-06-03"]})
    run_pass(now=NINE + DAY)

    assert fired() == [NINE, NINE + DAY]
    assert fresh(schedule).next_fire_at == NINE + 3 * DAY


def test_a_calendar_that_is_gone_sets_its_schedule_aside_alone() -> None:
    calendar = CalendarFactory()
    broken = daily(calendars=[calendar.pk])
    daily()
    Calendar.objects.all().delete()

    result = run_pass(now=NINE)

    assert (result.runs, result.quarantined) == (1, 1)
    assert fresh(broken).state == ScheduleState.QUARANTINED
    assert str(calendar.pk) in fresh(broken).state_reason


def test_calendars_are_read_once_a_pass_however_many_schedules_name_them(django_assert_max_num_queries) -> None:
    calendar = CalendarFactory(days=[date(2026, 6, 2)])
    for _ in range(20):
        daily(calendars=[calendar.pk])

    with django_assert_max_num_queries(10):
        run_pass(now=NINE)

    assert Run.objects.count() == 20


def test_recurring_events_are_expanded_on_before_they_run_out() -> None:
    event = "BEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20201225\nRRULE:FREQ=YEARLY\nEND:VEVENT"
    ics = f"BEGIN:VCALENDAR\n{event}\nEND:VCALENDAR"
    soon = database_now() + timedelta(days=30)
    calendar = CalendarFactory(ics=ics, dates=[], days=[], expanded_until=soon)

    done = jobs.expand_calendars()
    again = jobs.expand_calendars()

    calendar.refresh_from_db()
    assert (done, again) == (1, 0)
    assert calendar.expanded_until > soon + timedelta(days=366)
    assert date(database_now().year + 1, 12, 25) in calendar.days


# Maximum occurrences


def test_a_schedule_is_completed_with_its_last_run() -> None:
    schedule = daily(max_occurrences=2)

    run_pass(now=NINE)
    between = fresh(schedule)
    run_pass(now=NINE + DAY)

    assert (between.state, between.next_fire_at) == (ScheduleState.ACTIVE, NINE + DAY)
    assert (fresh(schedule).state, fresh(schedule).next_fire_at) == (ScheduleState.COMPLETED, None)
    assert fired() == [NINE, NINE + DAY]


def test_catching_up_makes_no_more_runs_than_are_left() -> None:
    schedule = daily(max_occurrences=2, misfire_policy="all")

    run_pass(now=NINE + 5 * DAY)
    run_pass(now=NINE + 6 * DAY)

    assert fired() == [NINE, NINE + DAY]
    assert (fresh(schedule).state, fresh(schedule).missed_count) == (ScheduleState.COMPLETED, 0)


def test_what_is_missed_or_skipped_does_not_count() -> None:
    task = TaskFactory(overlap="skip")
    blocking = DueWorkFactory(run=RunFactory(task=task))
    schedule = daily(task=task, max_occurrences=1)

    run_pass(now=NINE)
    after_skip = fresh(schedule)
    DueWork.objects.filter(pk=blocking.pk).delete()
    run_pass(now=NINE + DAY)

    assert (after_skip.state, after_skip.skipped_count) == (ScheduleState.ACTIVE, 1)
    assert (fresh(schedule).state, fresh(schedule).fired_count) == (ScheduleState.COMPLETED, 1)


def test_a_run_by_hand_does_not_count() -> None:
    schedule = daily(max_occurrences=1)

    start_run(actor=ACTOR, task=schedule.task)
    run_pass(now=NINE)

    assert fresh(schedule).fired_count == 1
    assert Run.objects.count() == 2


def test_raising_the_maximum_brings_a_completed_schedule_back_and_lowering_it_completes_one() -> None:
    schedule = daily(max_occurrences=1)
    run_pass(now=NINE)

    raised = update_schedule(actor=ACTOR, schedule=schedule, changes={"max_occurrences": 3})
    lowered = update_schedule(actor=ACTOR, schedule=schedule, changes={"max_occurrences": 1})

    assert raised.state == ScheduleState.ACTIVE
    assert raised.next_fire_at is not None
    assert raised.next_fire_at > database_now()
    assert (lowered.state, lowered.next_fire_at) == (ScheduleState.COMPLETED, None)


def test_a_maximum_leaves_the_mark_of_an_active_schedule_where_it_is() -> None:
    schedule = daily()

    update_schedule(actor=ACTOR, schedule=schedule, changes={"max_occurrences": 3})

    assert fresh(schedule).next_fire_at == NINE


# Snooze and pause


def test_a_snoozed_schedule_resumes_by_itself_and_replays_nothing() -> None:
    at = database_now().replace(microsecond=0) - timedelta(minutes=5)
    schedule = ScheduleFactory(kind="interval", expression="PT1H", starts_at=at.replace(tzinfo=None), next_fire_at=at)
    pause_schedule(actor=ACTOR, schedule=schedule, reason="noise", until=database_now() + timedelta(hours=1))
    waiting = jobs.end_snoozes()
    Schedule.objects.update(paused_until=database_now() - timedelta(seconds=1))

    ended = jobs.end_snoozes()
    run_pass()

    resumed = fresh(schedule)
    assert (waiting, ended) == (0, 1)
    assert (resumed.state, resumed.paused_until, resumed.state_reason) == (ScheduleState.ACTIVE, None, "")
    assert Miss.objects.get().reason == MissReason.PAUSED
    assert not Run.objects.exists()


def test_a_snooze_takes_what_comes_before_its_end_however_late_that_is_noticed() -> None:
    until = database_now() - timedelta(hours=3, minutes=30)
    first = (until - timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    schedule = ScheduleFactory(expression="0 * * * *", next_fire_at=first, misfire_policy="all", misfire_limit=100)
    pause_schedule(actor=ACTOR, schedule=schedule)
    Schedule.objects.update(paused_until=until)

    jobs.end_snoozes()
    run_pass()

    miss = Miss.objects.get()
    assert miss.last_at is not None
    assert (miss.reason, miss.first_at, miss.last_at < until) == (MissReason.PAUSED, first, True)
    expected = [miss.last_at + timedelta(hours=each) for each in range(1, len(fired()) + 1)]
    assert fired() == expected
    assert expected[0] >= until
    assert len(expected) >= 3


def test_what_a_snooze_ends_on_fires() -> None:
    at = database_now().replace(microsecond=0) - timedelta(seconds=2)
    schedule = ScheduleFactory(kind="interval", expression="PT1H", starts_at=at.replace(tzinfo=None), next_fire_at=at)
    pause_schedule(actor=ACTOR, schedule=schedule)
    Schedule.objects.update(paused_until=at)

    jobs.end_snoozes()
    run_pass()

    assert (fired(), Miss.objects.count()) == ([at], 0)


def test_of_two_snoozes_the_later_end_counts_however_late_both_are_noticed() -> None:
    at = (database_now() - timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
    schedule = ScheduleFactory(expression="0 * * * *", next_fire_at=at, misfire_policy="all", misfire_limit=100)
    pause_schedule(actor=ACTOR, schedule=schedule)
    pause_task(actor=ACTOR, task=schedule.task)
    Schedule.objects.update(paused_until=at + timedelta(hours=1))
    Task.objects.update(paused_until=at + timedelta(hours=3))

    jobs.end_snoozes()
    run_pass()

    assert Miss.objects.get().last_at == at + timedelta(hours=2)
    assert fired()[0] == at + timedelta(hours=3)


def test_an_operators_pause_outlives_edits_that_leave_nothing_to_come() -> None:
    schedule = daily(fired_count=3, next_fire_at=database_now() + DAY)
    pause_schedule(actor=ACTOR, schedule=schedule, reason="no", until=database_now() + 9 * DAY)

    update_schedule(actor=ACTOR, schedule=schedule, changes={"max_occurrences": 3})
    update_schedule(actor=ACTOR, schedule=schedule, changes={"max_occurrences": 9})
    update_schedule(actor=ACTOR, schedule=schedule, changes={"ends_at": "2026-06-02T00:00:00Z"})
    update_schedule(actor=ACTOR, schedule=schedule, changes={"ends_at": None})

    paused = fresh(schedule)
    assert (paused.state, paused.state_reason) == (ScheduleState.PAUSED, "no")
    assert paused.paused_until is not None
    resumed = resume_schedule(actor=ACTOR, schedule=paused)
    assert resumed.state == ScheduleState.ACTIVE
    assert resumed.next_fire_at is not None


def test_a_paused_schedule_that_has_ended_is_completed_when_it_is_resumed() -> None:
    schedule = daily(next_fire_at=database_now() + DAY)
    pause_schedule(actor=ACTOR, schedule=schedule)
    update_schedule(actor=ACTOR, schedule=schedule, changes={"ends_at": "2026-06-02T00:00:00Z"})

    resumed = resume_schedule(actor=ACTOR, schedule=schedule)

    assert (resumed.state, resumed.next_fire_at) == (ScheduleState.COMPLETED, None)


def test_a_calendar_that_gives_the_last_days_back_brings_its_schedule_back() -> None:
    today = database_now().date()
    calendar = CalendarFactory(dates=[])
    days = [(today + DAY * each).isoformat() for each in range(4)]
    schedule = ScheduleFactory(
        task__agent=calendar.agent,
        kind="rrule",
        expression="FREQ=DAILY;BYHOUR=8",
        starts_at=datetime(2026, 1, 1),
        ends_at=database_now() + 2 * DAY,
        calendars=[calendar.pk],
        next_fire_at=database_now() + DAY,
    )
    spent = ScheduleFactory(
        task__agent=calendar.agent, calendars=[calendar.pk], state="completed", max_occurrences=1, fired_count=1
    )

    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": days})
    taken = fresh(schedule)
    update_calendar(actor=ACTOR, calendar=calendar, changes={"dates": []})

    given_back = fresh(schedule)
    assert (taken.state, taken.next_fire_at) == (ScheduleState.COMPLETED, None)
    assert given_back.state == ScheduleState.ACTIVE
    assert given_back.next_fire_at is not None
    assert given_back.next_fire_at > database_now()
    assert fresh(spent).state == ScheduleState.COMPLETED


def test_a_snoozed_schedule_that_cannot_be_planned_any_more_is_set_aside() -> None:
    until = NINE + timedelta(hours=1)
    broken = daily(state=ScheduleState.PAUSED, timezone="Atlantis/Capital", paused_until=until)
    healthy = daily(state=ScheduleState.PAUSED, paused_until=until)

    jobs.end_snoozes()

    assert (fresh(broken).state, fresh(broken).paused_until) == (ScheduleState.QUARANTINED, None)
    assert fresh(healthy).state == ScheduleState.ACTIVE


def test_a_snoozed_schedule_of_an_archived_task_is_left_alone() -> None:
    schedule = daily()
    pause_schedule(actor=ACTOR, schedule=schedule, until=database_now() + timedelta(hours=1))
    archive_task(actor=ACTOR, task=schedule.task)
    Schedule.objects.update(paused_until=NINE)

    assert jobs.end_snoozes() == 0


def test_resuming_a_task_replays_nothing_and_counts_what_passed() -> None:
    schedule = ScheduleFactory(next_fire_at=database_now() - timedelta(minutes=3))
    pause_task(actor=ACTOR, task=schedule.task)

    resume_task(actor=ACTOR, task=schedule.task)
    run_pass()

    assert not Run.objects.exists()
    assert Miss.objects.get().reason == MissReason.PAUSED
    assert mark_of(schedule) > database_now() - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("mark", "end", "count"),
    [
        # Berlin goes forward on 29 March 2026: 02:30 exists as 03:30 and is one occurrence.
        (datetime(2026, 3, 28, 1, 30, tzinfo=UTC), datetime(2026, 3, 30, 12, tzinfo=UTC), 3),
        # And back on 25 October: 02:30 comes twice and is one.
        (datetime(2026, 10, 24, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 12, tzinfo=UTC), 3),
    ],
)
def test_clock_changes_during_a_pause_are_counted_as_they_would_have_fired(mark, end, count) -> None:
    schedule = ScheduleFactory(
        kind="rrule", expression="FREQ=DAILY;BYHOUR=2;BYMINUTE=30", timezone="Europe/Berlin", next_fire_at=mark
    )

    account_for_pause(schedule, now=end)

    assert Miss.objects.get().count == count
    assert schedule.next_fire_at.day == end.day + 1


# Edits


def test_an_edit_to_an_earlier_time_of_today_does_not_fire_for_the_past() -> None:
    now = database_now()
    earlier, later = now - timedelta(minutes=90), now + timedelta(minutes=90)
    schedule = ScheduleFactory(expression=f"{later.minute} {later.hour} * * *", next_fire_at=later)

    update_schedule(actor=ACTOR, schedule=schedule, changes={"expression": f"{earlier.minute} {earlier.hour} * * *"})
    run_pass()

    assert not Run.objects.exists()
    assert mark_of(schedule) > now


def test_deleting_a_schedule_leaves_its_queued_runs() -> None:
    schedule = daily()
    run_pass(now=NINE)

    delete_schedule(actor=ACTOR, schedule=schedule)

    assert Run.objects.get().state == RunState.QUEUED
    assert DueWork.objects.count() == 1


def test_a_late_change_of_the_overlap_policy_frees_the_starts_that_wait() -> None:
    task = TaskFactory(overlap="queue_all")
    DueWorkFactory(run=RunFactory(task=task))
    for hour in range(3):
        daily(task=task, next_fire_at=NINE + timedelta(hours=hour), expression=f"0 {9 + hour} * * *")
    run_pass(now=NINE + timedelta(hours=2, seconds=1))
    held = DueWork.objects.filter(gate__isnull=False).count()

    update_task(actor=ACTOR, task=task, changes={"overlap": "allow"})

    assert held > 0
    assert not DueWork.objects.filter(gate__isnull=False).exists()


def test_a_late_change_of_queue_and_priority_leaves_what_is_queued() -> None:
    schedule = daily(task__priority=3)
    run_pass(now=NINE)

    update_task(actor=ACTOR, task=schedule.task, changes={"priority": 7, "queue": "slow"})
    run_pass(now=NINE + DAY)

    assert list(DueWork.objects.order_by("available_at").values_list("queue", "priority")) == [
        ("default", 3),
        ("slow", 7),
    ]


@pytest.mark.parametrize(
    ("policy", "states"),
    [
        ("allow", [("queued", None)]),
        ("skip", [("skipped", None)]),
        ("queue_one", [("queued", "overlap")]),
        ("queue_all", [("queued", "overlap")]),
    ],
)
def test_a_parked_run_counts_for_overlap(policy, states) -> None:
    task = TaskFactory(overlap=policy)
    parked = DueWorkFactory(run=RunFactory(task=task, state=RunState.WAITING), available_at=NINE + DAY)
    daily(task=task)

    run_pass(now=NINE)

    born = Run.objects.exclude(pk=parked.run_id).get()
    gate = DueWork.objects.filter(run_id=born.pk).values_list("gate", flat=True).first()
    assert [(born.state, gate)] == states
    if policy == "skip":
        assert born.skip_reason == SkipReason.OVERLAP


# Misfires: (policy, grace, limit, window) -> the days that fire of those three days ago to today, at 09:00 + 5 hours
@pytest.mark.parametrize(
    ("policy", "grace", "limit", "window", "days", "reasons"),
    [
        ("skip", timedelta(minutes=1), 100, None, [], {"policy_skip"}),
        ("skip", timedelta(hours=6), 100, None, [3], {"policy_skip"}),
        ("last", timedelta(minutes=1), 100, None, [3], {"superseded"}),
        ("last", timedelta(hours=6), 100, None, [2, 3], {"superseded"}),
        ("last", timedelta(days=10), 100, None, [0, 1, 2, 3], set()),
        ("all", timedelta(minutes=1), 100, None, [0, 1, 2, 3], set()),
        ("all", timedelta(minutes=1), 2, None, [2, 3], {"over_limit"}),
        ("all", timedelta(minutes=1), 100, timedelta(hours=30), [2, 3], {"outside_window"}),
        ("all", timedelta(minutes=1), 1, timedelta(hours=30), [3], {"over_limit", "outside_window"}),
        ("all", timedelta(hours=6), 1, timedelta(hours=30), [2, 3], {"outside_window"}),
    ],
)
def test_misfire_policy_grace_and_window(policy, grace, limit, window, days, reasons) -> None:
    schedule = daily(misfire_policy=policy, misfire_grace=grace, misfire_limit=limit, misfire_window=window)

    run_pass(now=NINE + 3 * DAY + timedelta(hours=5))

    assert fired() == [NINE + day * DAY for day in days]
    assert set(Miss.objects.values_list("reason", flat=True)) == reasons
    assert fresh(schedule).missed_count == 4 - len(days)


def test_resuming_clears_the_end_of_the_pause() -> None:
    schedule = daily()
    pause_schedule(actor=ACTOR, schedule=schedule, until=database_now() + timedelta(hours=1))

    resumed = resume_schedule(actor=ACTOR, schedule=schedule)

    assert (resumed.state, resumed.paused_until) == (ScheduleState.ACTIVE, None)


def test_a_parked_run_gives_way_where_the_newest_start_cancels_the_running_one() -> None:
    task = TaskFactory(overlap="cancel_running")
    parked = DueWorkFactory(run=RunFactory(task=task, state=RunState.WAITING), available_at=NINE + DAY)
    schedule = daily(task=task)

    run_pass(now=NINE)

    born = Run.objects.get(schedule=schedule)
    assert Run.objects.get(pk=parked.run_id).state == RunState.CANCELED
    assert DueWork.objects.get().run_id == born.pk
    assert DueWork.objects.get().gate is None


@pytest.mark.parametrize(("policy", "states"), [("skip", ["queued", "skipped"]), ("queue_one", ["queued", "queued"])])
def test_a_run_that_waits_for_its_jitter_is_live_from_its_planned_instant(policy, states):
    ScheduleFactory(expression="0 * * * *", next_fire_at=NINE, jitter=timedelta(minutes=59), task__overlap=policy)

    run_pass(now=NINE)
    run_pass(now=NINE + timedelta(hours=1))

    assert DueWork.objects.order_by("available_at")[0].available_at > NINE
    assert list(Run.objects.order_by("scheduled_for").values_list("state", flat=True)) == states
