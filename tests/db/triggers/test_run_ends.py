"""Ends of runs: who follows them, and the task that fails too often."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F
from psycopg import errors

from scheduling.clock import metrics
from scheduling.core.topics import STARTS_NOTHING
from scheduling.errors import NotValid
from scheduling.events.models import Event, Outbox
from scheduling.events.topics import CONDITION_MET, RESERVED, topic_of_end
from scheduling.models import DueWork, Run, RunEnd, Schedule, Task
from scheduling.runs.operations import cancel_run, retry_run, start_child, start_run
from scheduling.runs.states import RunState
from scheduling.schedules.operations import pause_schedule, update_schedule
from scheduling.tasks.models import TaskState
from scheduling.tasks.operations import archive_task, resume_task, update_task
from scheduling.triggers import run_ends
from scheduling.triggers.run_ends import RunEnds, act_on_run_ends
from tests.db.triggers.conftest import ACTOR, end, follow
from tests.factories import AgentFactory, BackfillFactory, TaskFactory

pytestmark = pytest.mark.django_db


def begin(task: Task, **options: Any) -> Run:
    return start_run(actor=ACTOR, task=task, **options)


@pytest.mark.parametrize(
    ("wanted", "state", "follows"),
    [
        ("success", RunState.SUCCEEDED, True),
        ("success", RunState.FAILED, False),
        ("failure", RunState.FAILED, True),
        ("failure", RunState.CANCELED, False),
        ("end", RunState.SUCCEEDED, True),
        ("end", RunState.FAILED, True),
        ("end", RunState.CANCELED, True),
    ],
)
def test_a_follower_starts_after_the_end_that_it_asked_for(wanted: str, state: RunState, follows: bool) -> None:
    followed = TaskFactory()
    schedule = follow(followed, wanted)
    run = begin(followed)

    end(run, state, output={"rain": 3})
    act_on_run_ends()

    runs = list(Run.objects.filter(schedule=schedule))
    assert bool(runs) == follows
    assert not RunEnd.objects.exists()
    if follows:
        event = Event.objects.get()
        assert (runs[0].trigger_kind, runs[0].event_id, event.topic) == ("after", event.pk, f"run.{state}")
        assert (event.payload["run"], event.payload["simulated"]) == (str(run.pk), False)
        assert (event.payload["task"], event.payload["output"]) == (followed.key, {"rain": 3})
        assert Outbox.objects.filter(event=event).exists()


def test_nobody_follows_held_runs_that_a_new_policy_drops() -> None:
    followed = TaskFactory(overlap="queue_all")
    follow(followed, "end")
    for _ in range(3):
        begin(followed)
    dropped = metrics.RUN_ENDS_DROPPED._value.get()

    update_task(actor=ACTOR, task=followed, changes={"overlap": "skip"})

    assert Run.objects.filter(state=RunState.SKIPPED).count() == 2
    assert act_on_run_ends() == 2
    assert metrics.RUN_ENDS_DROPPED._value.get() == dropped
    assert not RunEnd.objects.exists()
    assert not Event.objects.exists()


def test_a_run_that_nobody_waits_for_tells_nothing() -> None:
    run = begin(TaskFactory())

    end(run)

    assert not RunEnd.objects.exists()
    assert act_on_run_ends() == 0
    assert not Event.objects.exists()


def test_a_run_that_was_under_way_when_somebody_began_to_follow_is_followed() -> None:
    followed = TaskFactory()
    run = begin(followed)
    schedule = follow(followed)

    end(run)
    act_on_run_ends()

    assert Run.objects.filter(schedule=schedule).count() == 1


def test_a_cancellation_tells_the_end_too() -> None:
    followed = TaskFactory()
    schedule = follow(followed, "end")

    cancel_run(actor=ACTOR, run=begin(followed))
    act_on_run_ends()

    assert Run.objects.get(schedule=schedule).event.payload["state"] == "canceled"


def test_a_failed_run_that_was_redriven_has_not_ended() -> None:
    followed = TaskFactory()
    schedule = follow(followed, "end")
    run = begin(followed)
    end(run, RunState.FAILED)

    retry_run(actor=ACTOR, run=run)
    act_on_run_ends()
    assert not Run.objects.filter(schedule=schedule).exists()

    end(run, RunState.SUCCEEDED)
    act_on_run_ends()
    assert Run.objects.get(schedule=schedule).event.payload["state"] == "succeeded"


def test_a_run_that_is_retried_after_its_end_was_acted_on_ends_again() -> None:
    followed = TaskFactory()
    schedule = follow(followed, "end")
    run = begin(followed)
    end(run, RunState.FAILED)
    act_on_run_ends()

    retry_run(actor=ACTOR, run=run)
    end(run, RunState.SUCCEEDED)
    act_on_run_ends()

    told = Run.objects.filter(schedule=schedule).order_by("id").values_list("event__topic", flat=True)
    assert list(told) == ["run.failed", "run.succeeded"]


def test_a_filter_reads_the_end_and_a_paused_follower_is_left_alone() -> None:
    followed = TaskFactory()
    wet = follow(followed, filter="event.payload.output.rain > `2`")
    dry = follow(followed, filter="event.payload.output.rain <= `2`")
    paused = follow(followed)
    pause_schedule(actor=ACTOR, schedule=paused)

    end(begin(followed), output={"rain": 3})
    act_on_run_ends()

    assert set(Run.objects.exclude(schedule=None).values_list("schedule_id", flat=True)) == {wet.pk}
    assert dry.pk != wet.pk


def test_what_a_rehearsal_leads_to_is_a_rehearsal() -> None:
    followed = TaskFactory()
    schedule = follow(followed)

    end(begin(followed, simulate=True))
    act_on_run_ends()

    assert Run.objects.get(schedule=schedule).simulated is True
    assert Event.objects.get().payload["simulated"] is True


def test_tasks_that_follow_each_other_stop_at_the_deepest_event(settings: Any) -> None:
    settings.ORDINAUT_MAX_EVENT_DEPTH = 3
    first = TaskFactory()
    second = TaskFactory(agent=first.agent)
    follow(first, task=second)
    follow(second, task=first)
    begin(first)

    for _ in range(10):
        for run in Run.objects.filter(state=RunState.QUEUED):
            end(run)
        act_on_run_ends()

    assert Run.objects.count() == 1 + 3


def test_a_circle_is_cut_though_a_step_that_starts_a_run_is_part_of_it(settings: Any) -> None:
    settings.ORDINAUT_MAX_EVENT_DEPTH = 3
    caller = TaskFactory()
    called = TaskFactory(agent=caller.agent)
    follow(called, task=caller)
    begin(caller)

    for _ in range(10):
        for run in Run.objects.filter(state=RunState.QUEUED):
            if run.task_id == caller.pk:
                start_child(parent=run, key=called.key, params={})
            end(run)
        act_on_run_ends()

    assert Run.objects.filter(task=caller).count() == 1 + 3


@pytest.mark.parametrize(
    ("definition", "pointer", "code"),
    [
        ({"after": "no-such-task"}, "/after", "unknown_task"),
        ({"after": None}, "/after", "missing_after"),
        ({"expression": "sometimes"}, "/expression", "invalid_after"),
    ],
)
def test_what_cannot_be_followed_is_refused(definition: Any, pointer: str, code: str) -> None:
    followed = TaskFactory()

    with pytest.raises(NotValid) as refused:
        follow(followed, **definition)

    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [(pointer, code)]
    assert not Schedule.objects.exists()


def test_a_task_cannot_follow_itself_nor_another_agents() -> None:
    task, foreign = TaskFactory(), TaskFactory()

    for followed, code in ((task, "follows_itself"), (foreign, "unknown_task")):
        with pytest.raises(NotValid) as refused:
            follow(followed, task=task)
        assert [problem.code for problem in refused.value.problems] == [code]


def test_an_edit_cannot_take_away_the_task_that_is_followed() -> None:
    schedule = follow(TaskFactory())

    with pytest.raises(NotValid) as refused:
        update_schedule(actor=ACTOR, schedule=schedule, changes={"after": None})

    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [("/after", "missing_after")]


def test_an_end_that_cannot_be_acted_on_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    guilty, innocent = TaskFactory(), TaskFactory()
    follow(guilty)
    schedule = follow(innocent)
    start_followers = run_ends.start_followers

    def stumble(run: Run) -> Any:
        if run.task_id == guilty.pk:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        return start_followers(run)

    monkeypatch.setattr(run_ends, "start_followers", stumble)
    end(begin(guilty))
    end(begin(innocent))

    assert act_on_run_ends() == 2
    assert Run.objects.filter(schedule=schedule).count() == 1
    assert not RunEnd.objects.exists()


def test_a_follower_that_cannot_be_started_keeps_no_other_from_the_end() -> None:
    followed = TaskFactory(pause_after_failures=1)
    broken = TaskFactory(agent=followed.agent, concurrency_key="${params.city}", concurrency_limit=1)
    first, stuck, last = follow(followed, "end"), follow(followed, "end", task=broken), follow(followed, "end")

    end(begin(followed), RunState.FAILED)
    act_on_run_ends()

    stuck.refresh_from_db()
    followed.refresh_from_db()
    assert set(Run.objects.filter(trigger_kind="after").values_list("schedule_id", flat=True)) == {first.pk, last.pk}
    assert (stuck.skipped_count, followed.state) == (1, TaskState.PAUSED)
    assert "cannot be started" in stuck.state_reason


def test_an_end_is_acted_on_with_its_taking_or_not_at_all() -> None:
    followed = TaskFactory()
    schedule = follow(followed)
    end(begin(followed))

    with transaction.atomic():
        act_on_run_ends()
        transaction.set_rollback(True)
    assert RunEnd.objects.count() == 1
    assert not Run.objects.filter(schedule=schedule).exists()

    act_on_run_ends()
    assert Run.objects.filter(schedule=schedule).count() == 1


def test_a_task_is_paused_when_so_many_of_its_runs_in_a_row_have_failed() -> None:
    task = TaskFactory(pause_after_failures=3)

    for state in (RunState.FAILED, RunState.FAILED, RunState.SUCCEEDED, RunState.FAILED, RunState.FAILED):
        end(begin(task), state, error={"code": "refused", "class": "permanent", "detail": "no bread"})
        act_on_run_ends()
    task.refresh_from_db()
    assert task.state == TaskState.ACTIVE

    end(begin(task), RunState.FAILED, error={"code": "refused", "class": "permanent", "detail": "no bread"})
    act_on_run_ends()
    task.refresh_from_db()
    assert (task.state, task.pause_reason) == (
        TaskState.PAUSED,
        "3 runs in a row have failed; the last: no bread",
    )


def test_failures_from_before_the_resume_do_not_count_and_rehearsals_never_do() -> None:
    task = TaskFactory(pause_after_failures=2)
    for _ in range(2):
        end(begin(task), RunState.FAILED)
    act_on_run_ends()
    Run.objects.update(finished_at=F("finished_at") - timedelta(minutes=1))
    task.refresh_from_db()
    resume_task(actor=ACTOR, task=task)

    end(begin(task, simulate=True), RunState.FAILED)
    end(begin(task), RunState.FAILED)
    act_on_run_ends()

    task.refresh_from_db()
    assert task.state == TaskState.ACTIVE


def test_a_limit_of_failures_that_is_set_later_counts_runs_under_way() -> None:
    task = TaskFactory()
    run = begin(task)

    update_task(actor=ACTOR, task=task, changes={"pause_after_failures": 1})
    end(run, RunState.FAILED)
    act_on_run_ends()

    task.refresh_from_db()
    assert task.state == TaskState.PAUSED


def test_a_follower_of_an_archived_task_says_that_its_last_runs_alone_can_start_it() -> None:
    followed = TaskFactory()
    schedule = follow(followed, "end")
    begin(followed)
    told = f"It follows the task {followed.key}, which was archived: nothing but the ends of its last runs can start it"

    archive_task(actor=ACTOR, task=followed)
    schedule.refresh_from_db()
    before = (schedule.fired_count, schedule.state_reason)
    act_on_run_ends()
    schedule.refresh_from_db()

    assert before == (0, f"{told}.")
    assert (schedule.fired_count, schedule.state_reason) == (1, f"{told}.")


def test_a_turn_ends_when_its_time_is_over_and_says_that_there_is_more() -> None:
    followed = TaskFactory()
    schedule = follow(followed)
    for _ in range(5):
        end(start_run(actor=ACTOR, task=followed))

    ends = RunEnds(turn=0.0001)
    done = ends.act()

    assert (done, ends.is_more) == (1, True)
    assert act_on_run_ends() == 4
    assert Run.objects.filter(schedule=schedule).count() == 5


def test_an_end_with_which_the_connection_breaks_is_put_behind_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    poison, other = TaskFactory(), TaskFactory()
    follow(poison)
    schedule = follow(other)
    for task in (poison, other):
        end(start_run(actor=ACTOR, task=task))
    start_followers = run_ends.start_followers

    def breaking(run: Run) -> Any:
        if run.task_id == poison.pk:
            raise OperationalError(
                "terminating connection due to idle-in-transaction timeout"
            ) from errors.AdminShutdown()
        return start_followers(run)

    monkeypatch.setattr(run_ends, "start_followers", breaking)
    ends = RunEnds()
    with pytest.raises(OperationalError):
        ends.act()

    assert ends.act() == 1
    assert Run.objects.filter(schedule=schedule).count() == 1
    assert RunEnd.objects.count() == 1


def test_what_is_told_of_the_ends_of_runs_is_reserved_and_listened_to_by_nobody() -> None:
    ends = {topic_of_end(state) for state, wanted in run_ends._WANTED.items() if wanted}

    assert {*ends, CONDITION_MET} == STARTS_NOTHING
    assert STARTS_NOTHING < RESERVED


@pytest.mark.parametrize("is_backfilled", [True, False])
def test_what_a_backfill_leads_to_has_its_priority(is_backfilled: bool) -> None:
    """A follower of a follower, too; else it would take the slots that backfilled runs leave to others."""
    agent = AgentFactory()
    first, second, third = (TaskFactory(agent=agent, priority=3) for _ in range(3))
    follow(first, task=second)
    follow(second, task=third)
    run = start_run(actor=ACTOR, task=first)
    if is_backfilled:
        Run.objects.filter(pk=run.pk).update(backfill=BackfillFactory(), is_backfilled=True)

    end(run)
    act_on_run_ends()
    (follower,) = Run.objects.filter(task=second)
    end(follower)
    act_on_run_ends()

    works = DueWork.objects.filter(task=third)
    assert [work.priority for work in works] == [9 if is_backfilled else 3]
