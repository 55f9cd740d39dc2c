"""Runs that wait for events and for other runs, with real hosts that are killed in the middle."""

import signal
import time
from typing import Any

import pytest

from scheduling.audit.operations import Actor
from scheduling.events.operations import publish
from scheduling.models import DueWork, Event, Run
from scheduling.runs.operations import start_run
from tests.crash.workers.conftest import Fleet
from tests.factories import AgentFactory, TaskFactory
from tests.invariants import broken_invariants
from tests.waiting import wait_until
from workers.models import Question

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor.system("tests")
CHILD = {
    "version": 1,
    "steps": [{"id": "sum", "set": {"n": "${add(params.n, `1`)}"}}],
    "outputs": {"n": "${steps.sum.n}"},
}


def waiting_for(topic: str = "order.paid") -> dict[str, Any]:
    return {
        "version": 1,
        "steps": [{"id": "paid", "wait_for_event": {"topic": topic, "filter": "event.payload.n == params.n"}}],
        "outputs": {"n": "${steps.paid.payload.n}"},
    }


def state_of(run: Run) -> str:
    return Run.objects.get(pk=run.pk).state


def test_an_event_is_answered_soon_and_a_run_is_run_soon(fleet: Fleet) -> None:
    agent = AgentFactory()
    TaskFactory(agent=agent, key="child", document=CHILD)
    calling = {
        "version": 1,
        "steps": [{"id": "c", "run": "child", "params": {"n": 1}}],
        "outputs": {"n": "${steps.c.n}"},
    }
    parent = TaskFactory(agent=agent, document=calling)
    listener = TaskFactory(agent=agent, document=waiting_for())

    with fleet.host():
        waits = start_run(actor=ACTOR, task=listener, params={"n": 5})
        wait_until(
            lambda: state_of(waits) == "waiting" and Question.objects.filter(is_pending=False).exists(), what="it"
        )
        began = time.monotonic()
        publish(actor=ACTOR, topic="order.paid", payload={"n": 5})
        wait_until(lambda: state_of(waits) == "succeeded", what="the run to have its event")
        heard_within = time.monotonic() - began
        began = time.monotonic()
        calls = start_run(actor=ACTOR, task=parent)
        wait_until(lambda: state_of(calls) == "succeeded", what="the run to have its outputs")
        ran_within = time.monotonic() - began

    assert Run.objects.get(pk=calls.pk).output == {"n": 2}
    assert heard_within < 1.5
    assert ran_within < 2.5
    assert broken_invariants() == {}


def test_hosts_that_are_killed_lose_no_event_and_start_no_run_twice(fleet: Fleet) -> None:
    agent = AgentFactory()
    TaskFactory(agent=agent, key="child", document=CHILD)
    calling = {
        "version": 1,
        "steps": [
            {"id": "paid", "wait_for_event": {"topic": "order.paid", "filter": "event.payload.n == params.n"}},
            {"id": "c", "run": "child", "params": {"n": "${params.n}"}},
            {"id": "d", "run": "child", "params": {"n": "${steps.c.n}"}},
        ],
        "outputs": {"n": "${steps.d.n}"},
    }
    task = TaskFactory(agent=agent, document=calling)
    runs = [start_run(actor=ACTOR, task=task, params={"n": n}) for n in range(30)]

    for killed in range(4):
        with fleet.host() as host:
            for n in range(killed * 8, min(30, killed * 8 + 8)):
                publish(actor=ACTOR, topic="order.paid", payload={"n": n})
            answered = Question.objects.filter(answer__isnull=False)
            wait_until(lambda: answered.count() > 5 * killed, what="some answers")  # noqa: B023 - asked at once
            host.send_signal(signal.SIGKILL)
            host.wait()
    with fleet.host():
        wait_until(lambda: not DueWork.objects.exists(), timeout=60, what="everything to have ended")

    found = {run.pk: run for run in Run.objects.filter(task=task)}
    assert {found[run.pk].state for run in runs} == {"succeeded"}
    assert [found[run.pk].output for run in runs] == [{"n": n + 2} for n in range(30)]
    assert Run.objects.filter(trigger_kind="run").count() == 60
    assert not Event.objects.filter(is_unmatched=True).exists()
    assert broken_invariants() == {}
