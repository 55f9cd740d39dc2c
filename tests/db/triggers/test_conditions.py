"""Conditions: checks at their interval, and a run on the rising edge."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduling.clock.accounting import Auditor
from scheduling.clock.firing import run_pass
from scheduling.errors import NotValid
from scheduling.models import DueWork, Event, Miss, Run, Schedule, Task
from scheduling.runs.states import RunState, SkipReason
from scheduling.schedules.operations import add_schedule, update_schedule
from scheduling.triggers.run_ends import act_on_run_ends
from tests.db.triggers.conftest import ACTOR, end
from tests.factories import DueWorkFactory, RunFactory, TaskFactory

pytestmark = pytest.mark.django_db

CHECK = {"version": 1, "steps": [{"id": "look", "set": {"met": True}}], "outputs": {"met": "${steps.look.met}"}}


def watch(task: Task | None = None, **definition: Any) -> Schedule:
    """A condition that looks every five minutes."""
    return add_schedule(
        actor=ACTOR,
        task=task or TaskFactory(),
        definition={"kind": "condition", "expression": "PT5M", "check": CHECK, **definition},
    )


def tick(schedule: Schedule) -> Run:
    """Let the clock come to the next check; return it."""
    schedule.refresh_from_db()
    assert schedule.next_fire_at is not None
    at = schedule.next_fire_at
    run_pass(now=at)
    return Run.objects.get(schedule=schedule, trigger_kind="check", scheduled_for=at)


def see(schedule: Schedule, output: Any, state: RunState = RunState.SUCCEEDED) -> None:
    """One tick whose check ends like that."""
    end(tick(schedule), state, output=output)
    act_on_run_ends()


def fired(schedule: Schedule) -> list[Run]:
    return list(Run.objects.filter(schedule=schedule, trigger_kind="condition").order_by("scheduled_for"))


def test_a_tick_is_a_run_of_the_check_and_no_firing() -> None:
    schedule = watch(TaskFactory(overlap="skip", concurrency_key="one", concurrency_limit=1))
    DueWorkFactory(run=RunFactory(task=schedule.task), is_exclusive=True)

    check = tick(schedule)

    schedule.refresh_from_db()
    work = DueWork.objects.get(pk=check.pk)
    assert (check.revision_id, check.state) == (schedule.check_revision_id, RunState.QUEUED)
    assert (work.gate, work.concurrency_key, work.is_exclusive, work.is_watched) == (None, None, False, True)
    assert (schedule.fired_count, schedule.skipped_count) == (0, 0)


def test_the_task_runs_on_each_rising_edge_and_only_there() -> None:
    schedule = watch()

    for met in (False, True, True, False, False, True):
        see(schedule, {"met": met})

    schedule.refresh_from_db()
    assert len(fired(schedule)) == 2
    assert (schedule.fired_count, schedule.condition_met) == (2, True)
    assert fired(schedule)[0].event.payload["outputs"] == {"met": True}


def test_a_condition_that_holds_at_the_first_look_fires() -> None:
    schedule = watch()

    see(schedule, {"met": True})

    assert len(fired(schedule)) == 1


def test_a_filter_judges_the_outputs_of_the_check() -> None:
    check = {**CHECK, "outputs": {"rain_mm": 1}}
    schedule = watch(check=check, filter="outputs.rain_mm > `2`")

    see(schedule, {"rain_mm": 2})
    see(schedule, {"rain_mm": 3})

    assert len(fired(schedule)) == 1


def test_a_check_that_fails_changes_nothing() -> None:
    schedule = watch()
    see(schedule, {"met": True})

    see(schedule, None, RunState.FAILED)
    see(schedule, {"met": True})

    assert len(fired(schedule)) == 1


def test_a_check_that_takes_longer_than_its_interval_is_not_joined_by_another() -> None:
    schedule = watch()
    first = tick(schedule)

    second = tick(schedule)

    schedule.refresh_from_db()
    assert (second.state, second.skip_reason) == (RunState.SKIPPED, SkipReason.OVERLAP)
    assert schedule.skipped_count == 1
    end(first, output={"met": False})
    act_on_run_ends()
    assert tick(schedule).state == RunState.QUEUED


def test_no_tick_joins_a_slow_check_however_many_come() -> None:
    schedule = watch()

    states = [tick(schedule).state for _ in range(4)]

    assert states == [RunState.QUEUED, RunState.SKIPPED, RunState.SKIPPED, RunState.SKIPPED]


def test_a_check_is_no_firing() -> None:
    schedule = watch()

    see(schedule, {"met": False})

    schedule.refresh_from_db()
    assert (schedule.fired_count, schedule.last_fired_at) == (0, None)


def test_another_filter_begins_anew() -> None:
    schedule = watch(filter="outputs.rain > `1`", check={**CHECK, "outputs": {"rain": 1, "wind": 1}})
    see(schedule, {"rain": 2, "wind": 9})

    update_schedule(actor=ACTOR, schedule=schedule, changes={"filter": "outputs.wind > `5`"})
    see(schedule, {"rain": 2, "wind": 9})

    assert len(fired(schedule)) == 2


def test_a_check_that_comes_in_late_is_left_out() -> None:
    schedule = watch()
    late = tick(schedule)
    see_later = schedule.next_fire_at
    assert see_later is not None
    Schedule.objects.filter(pk=schedule.pk).update(
        condition_met=True, condition_checked_for=see_later + timedelta(hours=1)
    )

    end(late, output={"met": False})
    act_on_run_ends()

    schedule.refresh_from_db()
    assert schedule.condition_met is True


def test_another_check_pipeline_begins_anew_and_the_old_ones_result_is_left_out() -> None:
    schedule = watch()
    see(schedule, {"met": True})
    old = tick(schedule)

    update_schedule(actor=ACTOR, schedule=schedule, changes={"check": {**CHECK, "outputs": {"met": False}}})
    end(old, output={"met": False})
    act_on_run_ends()

    schedule.refresh_from_db()
    assert schedule.condition_met is None
    see(schedule, {"met": True})
    assert len(fired(schedule)) == 2


def test_missed_checks_are_caught_up_by_one() -> None:
    schedule = watch()
    schedule.refresh_from_db()
    assert schedule.next_fire_at is not None

    run_pass(now=schedule.next_fire_at + timedelta(hours=2))

    checks = Run.objects.filter(schedule=schedule, trigger_kind="check").exclude(state=RunState.SKIPPED)
    assert checks.count() == 1


def test_the_check_of_a_task_is_not_among_its_revisions() -> None:
    schedule = watch()

    purposes = sorted(schedule.task.revisions.values_list("purpose", "number"))

    assert purposes == [("check", 1), ("pipeline", 1)]


@pytest.mark.parametrize(
    ("definition", "pointer", "code"),
    [
        ({"check": None}, "/check", "missing_check"),
        ({"check": {"version": 1, "steps": [{"id": "a", "set": {"b": 1}}]}}, "/check", "check_says_nothing"),
        ({"check": {**CHECK, "outputs": {"rain": 1}}}, "/check", "check_says_nothing"),
        ({"check": {"version": 1, "steps": [{"id": "a", "uses": "no.such.tool"}]}}, "/check/steps/0/uses", None),
        ({"expression": "5 minutes"}, "/expression", "invalid_interval"),
        ({"filter": "event.payload"}, "/filter", "unknown_name"),
    ],
)
def test_what_cannot_look_is_refused_with_its_place(definition: Any, pointer: str, code: str | None) -> None:
    with pytest.raises(NotValid) as refused:
        watch(**definition)

    problem = refused.value.problems[0]
    assert problem.pointer == pointer
    assert code is None or problem.code == code
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("changes", "code"), [({"filter": ""}, "check_says_nothing"), ({"check": None}, "missing_check")]
)
def test_an_edit_that_leaves_nothing_to_judge_is_refused(changes: Any, code: str) -> None:
    schedule = watch(check={**CHECK, "outputs": {"rain_mm": 1}}, filter="outputs.rain_mm > `2`")

    with pytest.raises(NotValid) as refused:
        update_schedule(actor=ACTOR, schedule=schedule, changes=changes)

    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [("/check", code)]
    schedule.refresh_from_db()
    assert schedule.filter == "outputs.rain_mm > `2`"


def test_its_sentence_says_how_often_it_looks() -> None:
    from scheduling.schedules.rules import recurrence_of

    assert "looks whether" in recurrence_of(watch()).sentence
    assert datetime.now(UTC) < (Schedule.objects.get().next_fire_at or datetime.now(UTC))


def test_an_edge_whose_start_is_refused_is_not_used_up() -> None:
    schedule = watch(TaskFactory(concurrency_key="${params.city}", concurrency_limit=1))
    met = {"met": True}

    see(schedule, met)
    schedule.refresh_from_db()
    reason = schedule.state_reason
    see(schedule, met)

    schedule.refresh_from_db()
    assert reason.startswith("The run cannot be started: The key '${params.city}' is null")
    assert (schedule.state_reason, schedule.condition_met, schedule.skipped_count) == (reason, False, 2)
    assert (fired(schedule), Event.objects.count()) == ([], 0)
    Task.objects.filter(pk=schedule.task_id).update(concurrency_key="", concurrency_limit=None)
    see(schedule, met)
    see(schedule, met)
    schedule.refresh_from_db()
    assert (len(fired(schedule)), schedule.state_reason, schedule.condition_met) == (1, "", True)


@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_a_hole_before_the_last_run_of_a_condition_is_told(overlap: str) -> None:
    schedule = watch(TaskFactory(overlap=overlap), max_occurrences=1)
    if overlap == "skip":  # the edge starts nothing, and the schedule goes on
        DueWorkFactory(run=RunFactory(task=schedule.task), is_exclusive=True)
    schedule.refresh_from_db()
    assert schedule.next_fire_at is not None
    first = schedule.next_fire_at - timedelta(hours=1)
    Schedule.objects.filter(pk=schedule.pk).update(
        starts_at=datetime(2026, 1, 1),
        accounted_until=first - timedelta(microseconds=1),
        next_fire_at=first + timedelta(minutes=10),
    )

    see(schedule, {"met": True})

    schedule.refresh_from_db()
    assert (schedule.state, schedule.missed_count) == ("completed" if overlap == "allow" else "active", 2)
    (hole,) = Miss.objects.all()
    assert (hole.reason, hole.first_at, hole.count) == ("unaccounted", first, 2)
    assert Event.objects.filter(topic="schedule.did_not_run").count() == 1
    assert Auditor().round() == 0


def test_a_check_that_never_ends_is_beside_no_other_however_many_ticks_were_skipped() -> None:
    schedule = watch()

    states = [tick(schedule).state for _ in range(60)]

    assert states == [RunState.QUEUED, *[RunState.SKIPPED] * 59]
    assert DueWork.objects.filter(run__schedule=schedule).count() == 1
