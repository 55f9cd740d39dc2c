"""Simulated runs in a worker: what waits goes on at once, in the order in which it would."""

from datetime import timedelta
from typing import Any

import pytest

from scheduling.models import DueWork, Run
from tests.db.workers.test_event_publish import go_on
from tests.db.workers.test_execution import Tools, refusing, run_once
from tests.factories import StepRunFactory
from tests.invariants import broken_invariants
from tests.workers_support import due_work, run_of
from workers.models import StepRun, Wait

pytestmark = pytest.mark.django_db(transaction=True)


def rehearsed(document: dict[str, Any], *, tools: Tools | None = None, **options: Any) -> DueWork:
    work = due_work(document, **options)
    Run.objects.filter(pk=work.pk).update(simulated=True)
    run_once(tools or Tools())
    return work


def wait(name: str, length: str) -> dict[str, Any]:
    return {"id": name, "wait": {"for": length}}


def times() -> dict[str, Any]:
    return {step.path: step.finished_at for step in StepRun.objects.all()}


def test_hours_pass_at_once_and_the_journal_shows_them():
    document = {
        "version": 1,
        "steps": [
            {"id": "before", "set": {"a": 1}},
            wait("days", "P3D"),
            {
                "id": "paid",
                "wait_for_event": {"topic": "order.paid"},
                "simulate": {"output": {"topic": "order.paid", "payload": {}}},
            },
            wait("hour", "PT1H"),
            {"id": "tell", "uses": "test.call", "with": {}},
        ],
        "outputs": {"day": "${date_diff(steps.hour.until, now, 'days') > 3}"},
    }
    work = rehearsed(document)

    assert (run_of(work).error, run_of(work).output) == (None, {"day": True})
    at = times()
    assert at["days"] - at["before"] >= timedelta(days=3)
    assert timedelta(hours=1) <= at["tell"] - at["paid"] < timedelta(hours=1, minutes=1)
    assert not Wait.objects.exists()
    assert broken_invariants() == {}


def test_a_pure_tool_that_runs_for_real_reads_no_url():
    given = {"source": "https://127.0.0.1:9/a.ics", "start": "2025-06-02", "end": "2025-06-03"}
    step = {"id": "day", "uses": "calendar.list_events", "with": given, "simulate": "real"}
    work = due_work({"version": 1, "steps": [step]})
    Run.objects.filter(pk=work.pk).update(simulated=True)

    go_on()

    assert run_of(work).error["code"] == "offline"


def test_of_branches_that_wait_the_one_that_would_be_first_wins():
    branches = {"slow": [wait("long", "PT2H")], "quick": [wait("short", "PT1.5S"), wait("more", "PT1H")]}
    document = {
        "version": 1,
        "steps": [{"id": "race", "parallel": {"branches": branches, "mode": "any"}}],
        "outputs": {"winner": "${steps.race.winner}"},
    }

    assert run_of(rehearsed(document)).output == {"winner": "quick"}


def test_retries_of_a_step_and_of_the_run_are_made_at_once():
    fails = {"error": {"code": "busy", "class": "transient", "detail": "no"}}
    retry = {"max_attempts": 2, "initial": "PT1H"}
    document = {
        "version": 1,
        "steps": [
            {
                "id": "s",
                "uses": "test.call",
                "with": {},
                "retry": retry,
                "simulate": [fails, fails, fails, {"output": {"it": 4}}],
            }
        ],
        "outputs": {"it": "${steps.s.it}"},
    }
    work = rehearsed(document, task={"retry": {"max_attempts": 2, "initial": "PT1H", "jitter": False}})
    assert (run_of(work).state, run_of(work).attempt) == ("queued", 2)
    run_once(Tools())

    assert run_of(work).output == {"it": 4}
    assert [step.attempt for step in StepRun.objects.order_by("attempt")] == [1, 2, 3, 4]


def test_another_worker_goes_on_where_the_one_that_died_had_come():
    document = {
        "version": 1,
        "steps": [wait("days", "P3D"), wait("hour", "PT1H")],
        "outputs": {"until": "${steps.hour.until}"},
    }
    work = due_work(document, claim_count=1)
    Run.objects.filter(pk=work.pk).update(simulated=True)
    days = run_of(work).created_at + timedelta(days=3)
    StepRunFactory(
        run_id=work.pk,
        run=None,
        path="days",
        kind="wait",
        state="succeeded",
        output=b'{"until":"x"}',
        started_at=days - timedelta(days=3),
        finished_at=days,
    )
    run_once(Tools())

    assert run_of(work).state == "succeeded"
    assert times()["hour"] - days >= timedelta(hours=1)


def test_a_time_out_that_comes_first_stops_what_waits():
    document = {
        "version": 1,
        "steps": [
            {
                "id": "box",
                "timeout": "PT10M",
                "try": [wait("long", "P1D")],
                "finally": [{"id": "clean", "set": {}}],
                "continue_on_error": True,
            }
        ],
        "outputs": {"code": "${steps.box.error.code}"},
    }
    work = rehearsed(document)

    assert run_of(work).output == {"code": "timeout"}


def test_a_run_that_acts_for_real_waits():
    work = due_work({"version": 1, "steps": [wait("hour", "PT1H")]})
    run_once(Tools(answers=[refusing()]))

    assert run_of(work).state == "waiting"
