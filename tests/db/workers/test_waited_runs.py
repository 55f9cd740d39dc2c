"""Runs that run other tasks: started once, waited for, given up, and never in a circle."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from scheduling.audit.operations import Actor
from scheduling.clock.tries import Tries
from scheduling.models import DueWork, Run, Task
from scheduling.runs.operations import cancel_run, start_child, start_run
from scheduling.tasks.operations import archive_task, pause_task
from tests.db.workers.test_execution import Tools, run_once
from tests.db.workers.test_reaper import with_reaper
from tests.factories import AgentFactory, TaskFactory
from tests.invariants import broken_invariants
from tests.races.test_clock_contention import inserts_of_runs_do
from tests.races.workers.test_retention import in_a_thread
from tests.waiting import wait_until
from workers.answering import children, events, turns
from workers.approvals.operations import approve
from workers.approvals.selectors import approvals
from workers.explain import explain, explainable
from workers.models import Question, StepRun

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
ANN = Actor.system("ann")
CHILD = {
    "version": 1,
    "params": {"n": 1},
    "params_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "steps": [{"id": "sum", "set": {"n": "${add(params.n, `1`)}"}}],
    "outputs": {"n": "${steps.sum.n}"},
}


def calling(key: str = "child", **given: Any) -> dict[str, Any]:
    return {"version": 1, "steps": [{"id": "call", "run": key, **given}], "outputs": {"it": "${steps.call}"}}


def family(document: dict[str, Any] | None = None, **given: Any) -> Run:
    """A run of a task that runs another one of its agent."""
    agent = AgentFactory()
    TaskFactory(agent=agent, key="child", document=document or CHILD)
    return start_run(actor=ACTOR, task=TaskFactory(agent=agent, key="parent", document=calling(**given)))


def answer() -> turns.Turn:
    return turns.take_turn(events.Progress())


def begin() -> bool:
    return children.begin(lambda: False, Tries())


def go_on(times: int = 1) -> None:
    run_once(Tools(), times=times)


def go_to_the_end(*, turns_at_most: int = 12) -> None:
    for _ in range(turns_at_most):
        go_on()
        answer()
        if not DueWork.objects.exists():
            return


def child_of(run: Run) -> Run:
    return Run.objects.get(parent=run)


def test_a_run_waits_for_another_and_has_its_outputs():
    parent = family(params={"n": 41})
    go_on()
    parent.refresh_from_db()
    assert (parent.state, DueWork.objects.get(pk=parent.pk).lease_owner) == ("waiting", None)
    reason = next(iter(explain(explainable(parent.pk)).reasons))
    assert (reason.code, reason.facts["run"]) == ("waiting_run", None)

    answer()

    child = child_of(parent)
    assert (child.trigger_kind, child.params, child.triggered_by) == ("run", {"n": 41}, parent.triggered_by)
    reason = next(iter(explain(explainable(parent.pk)).reasons))
    assert (reason.code, reason.facts["run"]) == ("waiting_run", str(child.pk))
    go_to_the_end()
    parent.refresh_from_db()
    assert (parent.state, parent.output) == ("succeeded", {"it": {"n": 42}})
    assert Question.objects.get().outcome == "answered"


def test_it_need_not_wait():
    parent = family(wait=False)
    go_on()
    answer()
    child = child_of(parent)
    assert child.state == "queued"
    DueWork.objects.filter(pk=child.pk).update(available_at=datetime.now(UTC) + timedelta(hours=1))

    go_on()
    answer()

    parent.refresh_from_db()
    child.refresh_from_db()
    assert (parent.state, parent.output) == ("succeeded", {"it": {"run_id": str(child.pk)}})
    assert child.state == "queued"


def test_the_other_runs_failure_is_the_steps_with_its_cause():
    document = {"version": 1, "steps": [{"id": "no", "fail": {"code": "not_today", "message": "Closed."}}]}
    parent = family(document)

    go_to_the_end()

    parent.refresh_from_db()
    assert parent.state == "failed"
    assert (parent.error["code"], parent.error["class"], parent.error["step"]) == ("run_failed", "permanent", "call")
    assert parent.error["cause"]["code"] == "not_today"
    assert "Closed." in parent.error["detail"]


def test_another_run_that_is_canceled_fails_the_step_and_does_not_cancel_the_run():
    parent = family()
    go_on()
    answer()
    cancel_run(actor=ACTOR, run=child_of(parent))

    go_to_the_end()

    parent.refresh_from_db()
    assert (parent.state, parent.error["code"]) == ("failed", "run_canceled")


def test_another_run_that_its_policy_skips_may_be_tried_again():
    agent = AgentFactory()
    busy = TaskFactory(agent=agent, key="child", document=CHILD, overlap="skip")
    DueWork.objects.filter(pk=start_run(actor=ACTOR, task=busy).pk).update(available_at="2100-01-01T00:00:00Z")
    parent = start_run(actor=ACTOR, task=TaskFactory(agent=agent, key="parent", document=calling()))

    go_on()
    answer()
    go_on()

    parent.refresh_from_db()
    assert (parent.state, parent.error["code"], parent.error["class"]) == ("failed", "run_skipped", "transient")


@pytest.mark.parametrize(
    ("given", "code", "error_class", "pointer"),
    [
        ({"key": "nobody"}, "unknown_task", "permanent", "/steps/0/run"),
        ({"key": "parent"}, "recursive_run", "permanent", "/steps/0/run"),
        ({"params": {"n": "text"}}, "bad_argument", "validation", "/steps/0/params/n"),
    ],
)
def test_what_cannot_be_started_fails_the_step_where_it_stands(given, code, error_class, pointer):
    parent = family(**given)

    go_to_the_end()

    parent.refresh_from_db()
    assert parent.state == "failed"
    error = parent.error
    assert (error["code"], error["class"], error["pointer"]) == (code, error_class, pointer)
    assert Run.objects.count() == 1


def test_an_archived_task_and_another_agents_are_not_started():
    parent = family()
    archive_task(actor=ACTOR, task=Task.objects.get(key="child"))
    TaskFactory(key="foreign", document=CHILD)
    other = start_run(actor=ACTOR, task=TaskFactory(agent=parent.agent, key="other", document=calling("foreign")))

    go_to_the_end()

    parent.refresh_from_db()
    other.refresh_from_db()
    assert "archived" in parent.error["detail"]
    assert other.error["code"] == "unknown_task"


def test_a_circle_of_two_tasks_is_cut_where_it_closes():
    agent = AgentFactory()
    TaskFactory(agent=agent, key="b", document=calling("a"))
    first = start_run(actor=ACTOR, task=TaskFactory(agent=agent, key="a", document=calling("b")))

    go_to_the_end()

    first.refresh_from_db()
    assert first.state == "failed"
    assert first.error["cause"]["code"] == "recursive_run"
    assert Run.objects.count() == 2


def test_runs_are_not_started_deeper_than_a_bound():
    agent = AgentFactory()
    for depth in range(20):
        TaskFactory(agent=agent, key=f"t{depth}", document=calling(f"t{depth + 1}", wait=False))
    start_run(actor=ACTOR, task=Task.objects.get(key="t0"))

    go_to_the_end(turns_at_most=50)

    assert Run.objects.count() == 16
    assert [run.error["code"] for run in Run.objects.filter(state="failed")] == ["recursive_run"]


def test_when_the_time_is_over_the_other_run_is_canceled():
    parent = family(timeout="PT1H")
    go_on()
    answer()
    child = child_of(parent)
    Question.objects.update(until=datetime.now(UTC) - timedelta(seconds=1))
    DueWork.objects.filter(pk=child.pk).update(available_at=datetime.now(UTC) + timedelta(hours=2))

    answer()
    go_on()
    answer()

    parent.refresh_from_db()
    child.refresh_from_db()
    assert (parent.state, parent.error["code"]) == ("failed", "timeout")
    assert child.state == "canceled"
    assert not Question.objects.filter(is_pending=True).exists()


def test_a_run_that_has_ended_in_time_counts_though_nobody_was_there_to_say_so():
    parent = family(timeout="PT1H")
    go_on()
    answer()
    go_on()
    Question.objects.update(until=datetime.now(UTC) - timedelta(seconds=1))

    answer()
    go_on()

    parent.refresh_from_db()
    assert parent.output == {"it": {"n": 2}}


@pytest.mark.parametrize("how", ["parked", "never started"])
def test_the_other_run_is_canceled_with_the_run_that_waits_for_it(how: str):
    parent = family()
    go_on()
    if how == "parked":
        answer()
        DueWork.objects.filter(pk=child_of(parent).pk).update(available_at=datetime.now(UTC) + timedelta(hours=2))
    cancel_run(actor=ACTOR, run=parent)
    with_reaper(lambda reaper: reaper.sweep())

    answer()

    assert {run.state for run in Run.objects.all()} == {"canceled"}
    assert Run.objects.count() == (2 if how == "parked" else 1)
    assert not Question.objects.filter(is_pending=True).exists()


def test_a_branch_that_loses_cancels_what_it_waits_for():
    agent = AgentFactory()
    TaskFactory(agent=agent, key="child", document=CHILD)
    branches = {"slow": [{"id": "call", "run": "child"}], "fast": [{"id": "ok", "approval": {"title": "?"}}]}
    document = {"version": 1, "steps": [{"id": "race", "parallel": {"branches": branches, "mode": "any"}}]}
    parent = start_run(actor=ACTOR, task=TaskFactory(agent=agent, key="parent", document=document))
    go_on()
    answer()
    child = child_of(parent)
    DueWork.objects.filter(pk=child.pk).update(available_at=datetime.now(UTC) + timedelta(hours=2))
    approve(actor=ANN, approval=approvals().get())
    go_on()
    answer()

    parent.refresh_from_db()
    child.refresh_from_db()
    assert (parent.state, child.state) == ("succeeded", "canceled")


@pytest.mark.parametrize("waits", [True, False])
def test_nothing_is_started_for_a_run_that_has_ended(waits: bool):
    parent = family(wait=waits)
    go_on()
    cancel_run(actor=ACTOR, run=parent)

    assert answer().is_more is False

    assert Run.objects.count() == 1
    question = Question.objects.get()
    assert (question.outcome, question.is_pending) == ("withdrawn", False)
    assert broken_invariants() == {}


@pytest.mark.parametrize("waits", [True, False])
def test_a_start_whose_run_ends_meanwhile_is_taken_back(waits: bool, monkeypatch: pytest.MonkeyPatch):
    parent = family(wait=waits)
    go_on()

    def canceled_meanwhile(**given: Any) -> Run:
        started = start_child(**given)
        in_a_thread(lambda: cancel_run(actor=ACTOR, run=parent))()
        return started

    monkeypatch.setattr(children, "start_child", canceled_meanwhile)
    begin()

    assert Run.objects.count() == 1


@pytest.mark.parametrize("waits", [True, False])
def test_two_hosts_start_one_run(waits: bool):
    parent = family(wait=waits)
    go_on()

    with transaction.atomic():
        DueWork.objects.select_for_update().get(pk=parent.pk)
        in_a_thread(begin)()
    assert not Run.objects.filter(parent=parent).exists(), "nothing of a start stays whose note could not be made"
    for wait in [in_a_thread(begin) for _ in range(4)]:
        wait()
    answer()

    assert Run.objects.filter(parent=parent).count() == 1


def test_a_paused_task_is_started_all_the_same():
    parent = family()
    pause_task(actor=ACTOR, task=Task.objects.get(key="child"))

    go_to_the_end()

    parent.refresh_from_db()
    assert parent.state == "succeeded"


def test_the_key_may_be_an_expression_and_nothing_is_no_key():
    parent = family(key="${params.which}")
    Run.objects.filter(pk=parent.pk).update(params={"which": "child"})
    empty = family(key="${params.which}")

    go_to_the_end()

    parent.refresh_from_db()
    empty.refresh_from_db()
    assert parent.state == "succeeded"
    assert (empty.error["code"], empty.error["pointer"]) == ("bad_argument", "/steps/0/run")


def test_a_start_that_hangs_holds_up_no_other_answer():
    agent = AgentFactory()
    for key in ("hangs", "child"):
        TaskFactory(agent=agent, key=key, document=CHILD)
    stuck, well = (
        start_run(actor=ACTOR, task=TaskFactory(agent=agent, document=calling(key))) for key in ("hangs", "child")
    )
    go_on()
    progress = events.Progress()
    hangs = Task.objects.get(key="hangs").pk

    with inserts_of_runs_do(f"IF NEW.task_id = '{hangs}' THEN PERFORM pg_sleep(600); END IF;"):
        began = time.monotonic()
        turns.take_turn(progress)
        turns.take_turn(progress)
        assert time.monotonic() - began < 3
        assert Run.objects.filter(parent=well).exists()
        assert not Run.objects.filter(parent=stuck).exists()

    def has_started() -> bool:
        turns.take_turn(progress)
        return Run.objects.filter(parent=stuck).exists()

    wait_until(has_started, what="its start")


def test_params_may_be_larger_than_what_the_journal_shows_of_them():
    run = family(
        {"version": 1, "steps": [{"id": "a", "set": {}}], "outputs": {"n": "${length(params.x)}"}},
        params={"x": "y" * 40_000},
    )

    go_to_the_end()

    run.refresh_from_db()
    assert run.output == {"it": {"n": 40_000}}
    shown = StepRun.objects.get(run=run, path="call").input
    assert (shown["run"], list(shown["params"])) == ("child", ["truncated"])
