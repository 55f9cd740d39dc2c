"""The clock's pass: what fires, what is missed, what is set aside."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest
from django.db import IntegrityError, connection, transaction

from scheduling.clock import firing, metrics
from scheduling.clock.due import earliest_mark
from scheduling.clock.firing import run_pass
from scheduling.clock.isolation import SteppedOver
from scheduling.core.recurrence import zones
from scheduling.models import DueWork, Miss, Run, Schedule, Task
from scheduling.runs.admission import Start, admit
from scheduling.runs.states import RunState, SkipReason, TriggerKind
from scheduling.schedules.models import ScheduleState
from tests.by_hand import write_by_hand
from tests.db.clock.refusing import refuse_runs_of
from tests.factories import DueWorkFactory, RunFactory, ScheduleFactory, TaskFactory

pytestmark = pytest.mark.django_db

NINE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)


def daily(**fields: object) -> Schedule:
    """Every day at 09:00 UTC, due at nine on the first of June."""
    defaults = {"expression": "0 9 * * *", "next_fire_at": NINE}
    return ScheduleFactory(**{**defaults, **fields})


def test_a_due_schedule_becomes_a_queued_run_of_its_instant() -> None:
    schedule = daily(task__priority=3)

    result = run_pass(now=NINE + timedelta(seconds=2))

    run = Run.objects.get()
    work = DueWork.objects.get()
    assert (result.schedules, result.runs) == (1, 1)
    assert (run.schedule_id, run.scheduled_for, run.state) == (schedule.id, NINE, RunState.QUEUED)
    assert run.revision_id == schedule.task.current_revision_id
    assert (work.run_id, work.available_at, work.priority, work.gate) == (run.id, NINE, 3, None)


def test_firing_moves_the_mark_and_counts() -> None:
    schedule = daily()

    run_pass(now=NINE)

    schedule.refresh_from_db()
    assert schedule.next_fire_at == NINE + timedelta(days=1)
    assert (schedule.fired_count, schedule.missed_count, schedule.last_fired_at) == (1, 0, NINE)


def test_nothing_fires_before_its_instant() -> None:
    daily()

    result = run_pass(now=NINE - timedelta(microseconds=1))

    assert result.schedules == 0
    assert not Run.objects.exists()


def test_a_second_pass_at_the_same_instant_fires_nothing() -> None:
    daily()
    run_pass(now=NINE)

    result = run_pass(now=NINE)

    assert result.runs == 0
    assert Run.objects.count() == 1


def test_a_clock_that_goes_back_does_not_fire_twice() -> None:
    daily()
    run_pass(now=NINE + timedelta(days=1))
    before = Run.objects.count()

    run_pass(now=NINE)

    assert Run.objects.count() == before


@pytest.mark.parametrize(
    ("policy", "fired_days", "missed"),
    [("skip", [], 3), ("last", [2], 2), ("all", [0, 1, 2], 0)],
)
def test_downtime_is_settled_by_the_misfire_policy(policy: str, fired_days: list[int], missed: int) -> None:
    schedule = daily(misfire_policy=policy)

    run_pass(now=NINE + timedelta(days=2, hours=5))

    runs = Run.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True)
    schedule.refresh_from_db()
    assert list(runs) == [NINE + timedelta(days=day) for day in fired_days]
    assert (schedule.missed_count, sum(Miss.objects.values_list("count", flat=True))) == (missed, missed)
    assert schedule.next_fire_at == NINE + timedelta(days=3)


def test_contiguous_misses_are_one_row() -> None:
    daily(misfire_policy="skip")

    run_pass(now=NINE + timedelta(days=2, hours=5))

    miss = Miss.objects.get()
    assert (miss.first_at, miss.last_at, miss.count) == (NINE, NINE + timedelta(days=2), 3)


def test_a_rule_without_further_occurrence_completes_its_schedule() -> None:
    schedule = ScheduleFactory(kind="once", expression="2026-06-01T09:00:00Z", next_fire_at=NINE)

    run_pass(now=NINE)

    schedule.refresh_from_db()
    assert (schedule.state, schedule.next_fire_at) == (ScheduleState.COMPLETED, None)
    assert Run.objects.count() == 1


def test_a_broken_schedule_is_set_aside_and_the_others_fire() -> None:
    broken = daily(timezone="Atlantis/Capital")
    daily()

    result = run_pass(now=NINE)

    broken.refresh_from_db()
    assert (result.runs, result.quarantined) == (1, 1)
    assert broken.state == ScheduleState.QUARANTINED
    assert "Atlantis/Capital" in broken.state_reason


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("next_fire_at", "-infinity"),
        ("next_fire_at", "4000-01-01 BC"),
        ("ends_at", "infinity"),
        ("starts_at", "20000-01-01"),
        ("exdates", "{infinity}"),
        ("exdates", "{NULL}"),
        ("misfire_grace", "100000000 years"),
    ],
)
def test_a_row_that_cannot_be_read_is_set_aside_and_the_others_fire(column: str, value: str) -> None:
    unreadable, _ = daily(), daily()
    write_by_hand([unreadable.pk], f"{column} = '{value}'")
    set_aside = metrics.QUARANTINED._value.get()

    assert run_pass(now=NINE).runs == 1

    kept = Schedule.objects.filter(pk=unreadable.pk).values_list("state", "state_reason").get()
    assert kept[0] == "quarantined"
    assert kept[1].startswith(("cannot be read: ", "cannot be planned: "))
    assert metrics.QUARANTINED._value.get() == set_aside + 1
    assert earliest_mark() is not None


@pytest.mark.parametrize(
    "value", ["infinity", "-infinity", "20000-01-01", "4000-01-01 BC", "0001-01-01", "9999-12-31 23:00"]
)
@pytest.mark.parametrize("column", ["starts_at", "ends_at", "next_fire_at", "paused_until", "accounted_until"])
def test_the_table_takes_no_time_that_cannot_be_read(column: str, value: str) -> None:
    schedule = ScheduleFactory(state="paused", next_fire_at=NINE)

    with pytest.raises(IntegrityError, match="_readable"), connection.cursor() as cursor:
        cursor.execute(f"UPDATE scheduling_schedule SET {column} = %s WHERE id = %s", [value, schedule.pk])


@pytest.mark.parametrize(
    "assignment",
    [
        *(
            f"{column} = ARRAY[{value}]::timestamp[]"
            for column in ("exdates", "rdates")
            for value in ("NULL", "'infinity'", "'-infinity'", "'20000-01-01'", "'4000-01-01 BC'")
        ),
        "version = 9223372036854775807",
        *(f"{column} = 'infinity'" for column in ("created_at", "updated_at", "condition_checked_for")),
        *(f"{column} = '100000000 years'" for column in ("misfire_grace", "misfire_window", "jitter")),
    ],
)
def test_nor_a_list_a_stamp_a_span_or_a_version_that_cannot_be_used(assignment: str) -> None:
    schedule = ScheduleFactory(state="paused", next_fire_at=NINE)

    with pytest.raises(IntegrityError, match=r"_readable|_countable"), connection.cursor() as cursor:
        cursor.execute(f"UPDATE scheduling_schedule SET {assignment} WHERE id = %s", [schedule.pk])


def test_a_mark_that_never_comes_is_no_obstacle_to_looking_ahead() -> None:
    write_by_hand([daily().pk], "next_fire_at = 'infinity'")

    found = earliest_mark()

    assert found is not None
    assert found[1].year == 9999


@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_a_schedule_whose_writes_the_database_refuses_is_set_aside_alone(overlap: str) -> None:
    guilty = daily(task__overlap=overlap)
    innocents = [daily(task__overlap=overlap) for _ in range(4)]
    refuse_runs_of(guilty)

    result = run_pass(now=NINE)

    guilty.refresh_from_db()
    assert (result.runs, result.quarantined) == (4, 1)
    assert guilty.state == ScheduleState.QUARANTINED
    assert "not this one" in guilty.state_reason
    assert set(Run.objects.values_list("schedule_id", flat=True)) == {schedule.id for schedule in innocents}


def test_a_schedule_whose_key_cannot_be_rendered_is_set_aside() -> None:
    guilty = daily(task__concurrency_key="city-${params.city}", task__concurrency_limit=1)
    daily()

    result = run_pass(now=NINE)

    guilty.refresh_from_db()
    assert (result.runs, result.quarantined) == (1, 1)
    assert "city-${params.city}" in guilty.state_reason


def planning_raises(monkeypatch: pytest.MonkeyPatch, schedule: Schedule, *errors: Exception) -> None:
    """Planning this schedule raises one error after the other, and then succeeds."""
    left = list(errors)
    plan_schedule = firing.plan_schedule

    def plan(due: Any) -> Any:
        if due.id == schedule.pk and left:
            raise left.pop(0)
        return plan_schedule(due)

    monkeypatch.setattr(firing, "plan_schedule", plan)


@pytest.mark.parametrize(
    "error",
    [OSError(24, "Too many open files"), MemoryError(), ImportError(), ZoneInfoNotFoundError()],
    ids=repr,
)
def test_what_this_process_lacks_puts_a_schedule_off_and_quarantines_none(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_off, other = daily(), daily(timezone="Europe/Chisinau", expression="0 12 * * *")
    planning_raises(monkeypatch, put_off, error, error)
    now = [0.0]
    stepped_over = SteppedOver(now=lambda: now[0])
    faults = metrics.FAULTS.labels("unexpected")._value
    before = faults.get()

    results = []
    for now[0] in (0.0, 0.5, 1.1, 3.5):
        results.append(run_pass(now=NINE, stepped_over=stepped_over))

    put_off.refresh_from_db()
    assert [result.quarantined for result in results] == [0] * 4
    assert [result.stepped_over for result in results] == [1, 0, 1, 0]
    assert [result.runs for result in results] == [1, 0, 0, 1]
    assert (put_off.state, Run.objects.filter(schedule=other).count()) == (ScheduleState.ACTIVE, 1)
    assert faults.get() == before + 2
    assert not stepped_over


def test_a_rule_that_planning_cannot_get_to_the_end_of_is_set_aside_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, _ = daily(), daily(timezone="Europe/Chisinau", expression="0 12 * * *")
    planning_raises(monkeypatch, broken, RecursionError(), RecursionError())

    result = run_pass(now=NINE)

    broken.refresh_from_db()
    assert (result.runs, result.quarantined, result.stepped_over) == (1, 1, 0)
    assert (broken.state, broken.state_reason) == (ScheduleState.QUARANTINED, "cannot be planned: RecursionError")


@pytest.mark.parametrize("starts_at", [datetime(2000, 1, 1), datetime(2026, 1, 1)])
@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("cron", "30 2 * 3 7#2"),
        ("rrule", "FREQ=YEARLY;BYMONTH=3;BYDAY=2SU;BYHOUR=2;BYMINUTE=30"),
        ("rrule", "FREQ=MINUTELY;BYMONTH=3;BYMONTHDAY=8,9,10,11,12,13,14;BYDAY=SU;BYHOUR=2"),
    ],
)
def test_a_rule_whose_times_the_clocks_have_come_to_leave_out_is_set_aside(
    kind: str, expression: str, starts_at: datetime
) -> None:
    fields: dict[str, Any] = {"kind": kind, "expression": expression, "timezone": "America/New_York"}
    broken = daily(gap="skip", starts_at=starts_at, **fields)
    daily()

    result = run_pass(now=NINE)

    broken.refresh_from_db()
    assert (result.runs, result.quarantined) == (1, 1)
    assert broken.state == ScheduleState.QUARANTINED
    assert broken.state_reason.startswith("never_occurs: ")


def test_a_zone_whose_data_cannot_be_opened_for_now_is_read_later(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = daily(timezone="Pacific/Apia", expression="0 22 * * *")
    zones.get_zone.cache_clear()

    class Exhausted:
        def __init__(self, name: str) -> None:
            raise OSError(24, "Too many open files", name)

    with monkeypatch.context() as exhausted:
        exhausted.setattr("zoneinfo.ZoneInfo", Exhausted)
        first = run_pass(now=NINE)
    second = run_pass(now=NINE)

    schedule.refresh_from_db()
    assert (first.quarantined, first.stepped_over, first.runs) == (0, 1, 0)
    assert (second.runs, schedule.state, schedule.state_reason) == (1, ScheduleState.ACTIVE, "")


def test_a_pass_fails_as_a_whole_where_more_are_put_off_than_can_be_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedules = [daily(), daily(timezone="Europe/Chisinau", expression="0 12 * * *")]

    def plan(_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(firing, "plan_schedule", plan)

    with pytest.raises(MemoryError):
        run_pass(now=NINE, stepped_over=SteppedOver(limit=1))

    assert {each.state for each in Schedule.objects.filter(pk__in=[each.pk for each in schedules])} == {"active"}


def test_an_unexpected_error_of_a_rule_sets_it_aside_only_where_it_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    passing, lasting = daily(timezone="Europe/Chisinau", expression="0 12 * * *"), daily()
    planning_raises(monkeypatch, passing, ArithmeticError())
    planning_raises(monkeypatch, lasting, TypeError(), TypeError())

    result = run_pass(now=NINE)

    lasting.refresh_from_db()
    assert (result.runs, result.quarantined) == (1, 1)
    assert (lasting.state, lasting.state_reason) == ("quarantined", "cannot be planned: TypeError")


@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_an_edit_between_plan_and_write_voids_the_plan(overlap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = daily(task__overlap=overlap)

    def edit_first(*given: Any) -> Any:
        Schedule.objects.filter(pk=schedule.pk).update(version=schedule.version + 1)
        return plan_all(*given)

    plan_all = firing._plan_all
    monkeypatch.setattr(firing, "_plan_all", edit_first)
    result = run_pass(now=NINE)

    schedule.refresh_from_db()
    assert (result.runs, result.lost) == (0, 1)
    assert schedule.next_fire_at == NINE
    assert not Run.objects.exists()


def test_a_policy_that_comes_between_plan_and_write_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    task = TaskFactory()
    DueWorkFactory(run=RunFactory(task=task), is_exclusive=True)
    schedule = daily(task=task)

    def exclude_first(*given: Any) -> Any:
        Task.objects.filter(pk=task.pk).update(overlap="skip")
        monkeypatch.undo()
        return firing._plan_all(*given)

    monkeypatch.setattr(firing, "_plan_all", exclude_first)
    first, second = run_pass(now=NINE), run_pass(now=NINE)

    assert (first.runs, second.runs, second.skipped) == (0, 0, 1)
    assert Run.objects.get(schedule=schedule).skip_reason == SkipReason.OVERLAP


def test_plain_runs_are_what_admission_would_have_written() -> None:
    follower = TaskFactory()
    shared = {"params": {"city": "Chisinau"}, "simulate": True, "queue": "slow", "priority": 2}
    plain, alone, decided = [TaskFactory(overlap=overlap, **shared) for overlap in ("allow", "queue_all", "queue_all")]
    schedules = {}
    for task in (plain, alone, decided):
        ScheduleFactory(task=follower, kind="after", expression="end", after_task=task, next_fire_at=None)
        schedules[task] = daily(task=task, jitter=timedelta(minutes=5))

    with transaction.atomic(), connection.cursor() as cursor:
        start = Start(
            task_id=decided.pk,
            trigger_kind=TriggerKind.SCHEDULE,
            schedule_id=schedules[decided].pk,
            scheduled_for=NINE,
            available_at=NINE + timedelta(minutes=2),
        )
        admit(cursor, [start])
    Schedule.objects.filter(task=decided).update(next_fire_at=NINE + timedelta(days=1))
    run_pass(now=NINE)

    written = {}
    for work in DueWork.objects.select_related("run"):
        own = {"run_id", "task_id", "available_at"} | ({"is_exclusive"} if work.task_id == plain.pk else set())
        row = {name: value for name, value in vars(work).items() if not name.startswith("_") and name not in own}
        own = {"id", "task_id", "revision_id", "agent_id", "schedule_id", "created_at"}
        run = {name: value for name, value in vars(work.run).items() if not name.startswith("_") and name not in own}
        written[work.task_id] = (row, run)
        assert work.run.revision_id == work.task.current_revision_id
        assert work.run.agent_id == work.task.agent_id
        assert NINE <= work.available_at < NINE + timedelta(minutes=5)
    assert written[alone.id] == written[decided.id]
    assert written[alone.id][0].pop("is_exclusive") is True
    assert written[plain.id] == written[alone.id]
    assert written[plain.id][0]["is_watched"] is True


def test_an_occurrence_that_has_its_run_moves_the_mark_and_counts_nothing() -> None:
    schedule = daily()
    RunFactory(task=schedule.task, schedule=schedule, trigger_kind="schedule", scheduled_for=NINE)

    result = run_pass(now=NINE)

    schedule.refresh_from_db()
    assert (result.runs, schedule.fired_count) == (0, 0)
    assert schedule.next_fire_at == NINE + timedelta(days=1)
    assert not DueWork.objects.exists()


def test_planning_stops_when_its_time_is_over_and_goes_on_in_the_next_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    schedules = [daily(exdates=[datetime(2026, 6, 2 + day, 9)]) for day in range(4)]

    monkeypatch.setattr(firing, "time", StoppedClock([0.0, 0.0, firing.PLANNING_TIME + 1]))
    first = run_pass(now=NINE)
    monkeypatch.undo()
    second = run_pass(now=NINE)

    assert (first.schedules, first.runs, first.is_full) == (4, 1, True)
    assert (second.runs, second.is_full) == (3, False)
    assert set(Run.objects.values_list("schedule_id", flat=True)) == {schedule.id for schedule in schedules}


def test_held_and_paused_schedules_do_not_fire() -> None:
    daily(held_at=NINE)
    daily(state=ScheduleState.PAUSED)

    assert run_pass(now=NINE + timedelta(hours=1)).schedules == 0


def test_an_occurrence_during_a_live_run_is_skipped_and_seen() -> None:
    task = TaskFactory(overlap="skip")
    DueWorkFactory(run=RunFactory(task=task))
    schedule = daily(task=task)

    run_pass(now=NINE)

    skipped = Run.objects.get(schedule=schedule)
    schedule.refresh_from_db()
    assert (skipped.state, skipped.skip_reason) == (RunState.SKIPPED, SkipReason.OVERLAP)
    assert (schedule.fired_count, schedule.skipped_count) == (0, 1)
    assert DueWork.objects.count() == 1


def test_jitter_delays_the_start_and_not_the_instant() -> None:
    daily(jitter=timedelta(minutes=10))

    run_pass(now=NINE)

    work = DueWork.objects.select_related("run").get()
    assert work.run.scheduled_for == NINE
    assert NINE <= work.available_at < NINE + timedelta(minutes=10)


def test_a_batch_bounds_a_pass() -> None:
    for _ in range(5):
        daily()

    first, second = run_pass(now=NINE, batch=3), run_pass(now=NINE, batch=3)

    assert (first.runs, first.is_full) == (3, True)
    assert (second.runs, second.is_full) == (2, False)


def test_the_earliest_mark_sets_the_sleep() -> None:
    assert earliest_mark() is None
    ScheduleFactory(next_fire_at=datetime.now(UTC) + timedelta(seconds=30))
    ScheduleFactory(next_fire_at=datetime.now(UTC) + timedelta(seconds=90))

    found = earliest_mark()

    assert found is not None
    assert 25 < found[0] <= 30
    assert found[1] == Schedule.objects.earliest("next_fire_at").next_fire_at


class StoppedClock:
    """Stands for the module `time`: tells these instants, the last of them for ever."""

    def __init__(self, instants: list[float]) -> None:
        self._instants = instants

    def monotonic(self) -> float:
        return self._instants.pop(0) if len(self._instants) > 1 else self._instants[0]
