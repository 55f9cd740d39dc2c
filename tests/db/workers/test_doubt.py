"""A call whose end nobody knows: a person says whether it is made again."""

from typing import Any

import pytest

from pipelines.tools.base import InDoubt
from scheduling.audit.operations import Actor
from scheduling.models import DueWork, Run
from scheduling.runs.operations import cancel_run
from tests.db.workers.test_execution import Tools, run_once
from tests.factories import AgentFactory, OperatorFactory, StepRunFactory
from tests.invariants import broken_invariants
from tests.workers_support import due_work, run_of
from workers.approvals.operations import MayNotDecide, approve, reject
from workers.approvals.selectors import approvals, state_of
from workers.explain import explain, explainable
from workers.models import StepRun

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = {
    "version": 1,
    "steps": [{"id": "pay", "uses": "test.call", "with": {"n": 1}}],
    "outputs": {"it": "${steps.pay.it}"},
}


def asking() -> Tools:
    return Tools(in_doubt=InDoubt.ASK, answers=[{"it": 7}])


def lost(**run: Any) -> DueWork:
    """A run whose worker died in its call, taken up by another."""
    work = due_work(DOCUMENT, claim_count=1)
    Run.objects.filter(pk=work.pk).update(**run)
    StepRunFactory(
        run_id=work.pk, run=None, path="pay", kind="tool", uses="test.call", state="started", finished_at=None
    )
    run_once(asking())
    return work


def ann() -> Actor:
    return Actor.of_operator(OperatorFactory(username="ann", is_superuser=True))


def test_the_run_waits_and_says_for_what():
    work = lost()

    assert run_of(work).state == "waiting"
    question = approvals().get()
    assert (state_of(question), question.asks["about"], question.until) == ("open", "doubt", None)
    reason = next(iter(explain(explainable(work.pk)).reasons))
    assert (reason.code, reason.facts["title"]) == ("waiting_approval", "Call test.call again?")
    assert reason.hint.startswith("Find out whether the call was made.")
    assert broken_invariants() == {}


@pytest.mark.parametrize("starts", [False, True])
def test_approved_the_call_is_made_again(starts: bool):
    """Also by whoever started the run: it is no approval of what they do."""
    actor = ann()
    work = lost(triggered_by=str(actor) if starts else "")

    approve(actor=actor, approval=approvals().get())
    tools = asking()
    run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.output, len(tools.calls)) == ("succeeded", {"it": 7}, 1)
    assert [(step.attempt, step.state) for step in StepRun.objects.order_by("attempt")] == [
        (1, "interrupted"),
        (2, "succeeded"),
    ]
    assert state_of(approvals().get()) == "approved"
    assert broken_invariants() == {}


def test_rejected_the_run_fails_in_doubt():
    work = lost()

    reject(actor=ann(), approval=approvals().get(), reason="the bank says it came")
    tools = asking()
    run_once(tools)

    ended = run_of(work)
    assert (ended.state, ended.cause, tools.calls) == ("failed", "in_doubt", [])
    assert ended.error["detail"].endswith("operator:ann had it not called again: the bank says it came")
    assert state_of(approvals().get()) == "rejected"


def test_the_agent_of_the_task_does_not_decide():
    work = lost()
    agent = AgentFactory()
    Run.objects.filter(pk=work.pk).update(agent=agent)

    with pytest.raises(MayNotDecide):
        approve(actor=Actor.of_agent(agent), approval=approvals().get())


def test_a_run_that_is_canceled_meanwhile_asks_nobody_any_more():
    work = lost()

    cancel_run(actor=ann(), run=run_of(work))

    assert run_of(work).state == "canceled"
    assert state_of(approvals().get()) == "withdrawn"
