"""Approvals in the worker: asked, decided by people, and settled by the run, in every order in which that can come."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from pipelines.errors import ErrorClass, PipelineError
from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.models import DueWork, Run
from scheduling.runs.operations import cancel_run, retry_run
from tests.db.workers.test_execution import Tools, run_once
from tests.db.workers.test_reaper import with_reaper
from tests.factories import AgentFactory, OperatorFactory
from tests.waiting import wait_until
from tests.workers_support import bench, due_work, reload, run, run_of, until
from workers.approvals.operations import MayNotDecide, NotOpen, approve, reject
from workers.approvals.selectors import OPEN, approvals, in_state, state_of, visible_approvals
from workers.explain import explain, explainable
from workers.models import Question, StepRun, Wait

pytestmark = pytest.mark.django_db(transaction=True)

FORM = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
HOUR = timedelta(hours=1)


def asking(*steps: Any, step_id: str = "ok", **given: Any) -> dict[str, Any]:
    asks = {"id": step_id, "approval": {"title": "Pay?", **given}}
    return {"version": 1, "steps": [asks, *steps], "outputs": {"ok": f"${{steps.{step_id}}}"}}


def ann() -> Actor:
    return Actor.of_operator(OperatorFactory(username="ann", is_superuser=True))


def asked() -> Question:
    return approvals().get()


def open_count() -> int:
    return in_state(approvals(), OPEN).count()


def backdate(seconds: float) -> None:
    """As if so much time had gone by since the question was put."""
    moved = datetime.now(UTC) - timedelta(seconds=seconds)
    Question.objects.update(until=moved)
    StepRun.objects.filter(kind="approval").update(
        input=b'{"title":"Pay?","detail":"","roles":[],"until":"%s"}' % moved.isoformat().encode()
    )
    DueWork.objects.update(available_at=moved)


def test_a_run_asks_gives_its_worker_away_and_goes_on_when_somebody_approves():
    work = due_work(asking(form=FORM, detail="12 EUR", timeout="PT1H", roles=["operators"]))
    run_once(Tools())

    question, parked = asked(), reload(work)
    assert (run_of(work).state, parked.lease_owner, parked.available_at) == ("waiting", None, question.until)
    assert (question.shown_path, question.attempt, state_of(question), open_count()) == (
        "ok",
        1,
        "open",
        1,
    )
    assert question.asks == {"title": "Pay?", "detail": "12 EUR", "roles": ["operators"], "form": FORM}
    assert not Wait.objects.exists()
    reason = next(iter(explain(explainable(work.pk)).reasons))
    assert reason.code == "waiting_approval"
    assert reason.sentence.startswith("Step ok waits for an approval of one of the roles operators until 20")
    assert (reason.facts["approval"], reason.facts["title"], reason.facts["roles"]) == (
        str(question.pk),
        "Pay?",
        ["operators"],
    )

    decided = approve(actor=ann(), approval=question, form={"amount": 5}, reason="looks right")
    assert state_of(decided) == "approved"
    assert reload(work).available_at <= datetime.now(UTC)
    run_once(Tools())

    ended, closed = run_of(work), asked()
    assert ended.state == "succeeded"
    assert ended.output["ok"] == {
        "approved": True,
        "by": "operator:ann",
        "at": question_at(closed),
        "form": {"amount": 5},
    }
    assert (state_of(closed), closed.closed_at is not None, open_count()) == (
        "approved",
        True,
        0,
    )
    assert [(entry.path, entry.state) for entry in StepRun.objects.all()] == [("ok", "succeeded")]
    entry = AuditEntry.objects.get(action="run.approve")
    assert (entry.object_id, entry.actor_label) == (str(work.pk), "ann")
    assert entry.after == {"approval": str(closed.pk), "step": "ok", "title": "Pay?", "reason": "looks right"}


def question_at(question: Question) -> str:
    return question.answered_at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def test_a_rejection_fails_the_run_with_its_reason():
    work = due_work(asking())
    run_once(Tools())
    reject(actor=ann(), approval=asked(), reason="too dear")
    run_once(Tools())

    ended = run_of(work)
    assert (ended.state, ended.cause, ended.error["class"]) == ("failed", "permanent", "rejected")
    assert ended.error["detail"] == "rejected by operator:ann: too dear"
    assert state_of(asked()) == "rejected"


def test_nobody_decides_twice():
    due_work(asking())
    run_once(Tools())
    question = asked()
    approve(actor=ann(), approval=question)

    with pytest.raises(NotOpen, match="It was approved by operator:ann at "):
        reject(actor=Actor.of_operator(OperatorFactory(is_superuser=True)), approval=question)


@pytest.mark.parametrize("on_timeout", ["fail", "approve"])
def test_when_the_time_is_over_the_run_goes_on_without_an_answer(on_timeout):
    work = due_work(asking(timeout="PT1H", on_timeout=on_timeout))
    run_once(Tools())
    backdate(seconds=1)

    with pytest.raises(NotOpen, match="Its time is over"):
        approve(actor=ann(), approval=asked())
    run_once(Tools())

    assert run_of(work).state == ("failed" if on_timeout == "fail" else "succeeded")
    assert state_of(asked()) == "expired"


def test_an_answer_in_time_counts_though_the_run_is_claimed_after_the_end():
    work = due_work(asking(timeout="PT1H"))
    run_once(Tools())
    approve(actor=ann(), approval=asked())
    backdate(seconds=1)
    run_once(Tools())

    assert run_of(work).state == "succeeded"
    assert state_of(asked()) == "approved"


def test_an_answer_to_a_run_that_is_held_by_a_worker_makes_it_due_when_it_parks():
    """Another branch keeps the run in its slot while the question is out."""
    tools = Held()
    branches = {"ask": [{"id": "ok", "approval": {"title": "Pay?"}}], "call": [{"id": "send", "uses": "test.call"}]}
    both = {"id": "both", "parallel": {"branches": branches}}
    work = due_work({"version": 1, "steps": [both], "outputs": {"by": "${steps.ok.by}"}})

    def approve_while_it_is_held() -> None:
        wait_until(Question.objects.exists)
        approve(actor=ann(), approval=asked())
        assert reload(work).lease_owner is not None

    async def answered_meanwhile() -> None:
        async with bench(catalog=tools.catalog) as process:
            await process.pool.run_once()
            await until(lambda: bool(tools.calls))
            await asyncio.to_thread(in_thread, approve_while_it_is_held)
            tools.release.set()
            await process.settled()
            await process.run_all()

    run(answered_meanwhile())

    assert (run_of(work).state, run_of(work).output) == ("succeeded", {"by": "operator:ann"})


class Held(Tools):
    """A tool that answers when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()

    async def call(self, context: Any, /, **given: Any) -> Any:
        self.calls.append(given)
        await self.release.wait()
        return {"ok": True}


def in_thread(work: Any) -> None:
    try:
        work()
    finally:
        connection.close()


def test_a_claim_and_a_decision_at_the_same_time_take_turns():
    """A decision that holds the due work keeps the claim from it; the claim after it brings the answer."""
    work = due_work(asking(timeout="PT1H"))
    run_once(Tools())
    DueWork.objects.update(available_at=datetime.now(UTC))
    decided, leave = threading.Event(), threading.Event()

    def decide() -> None:
        with transaction.atomic():
            approve(actor=ann(), approval=asked())
            decided.set()
            leave.wait(10)

    thread = threading.Thread(target=in_thread, args=[decide])
    thread.start()
    try:
        assert decided.wait(10)
        run_once(Tools())
        assert run_of(work).state == "waiting", "it was claimed under the decision"
    finally:
        leave.set()
        thread.join()
    run_once(Tools())

    assert run_of(work).state == "succeeded"


def test_who_has_started_the_run_owns_it_or_lacks_the_role_does_not_decide():
    bob = OperatorFactory(username="bob", is_superuser=True)
    work = due_work(asking(roles=["author", "finance"]))
    run_once(Tools())
    Run.objects.update(triggered_by="operator:bob")
    question, viewer = asked(), OperatorFactory(username="eve")

    with pytest.raises(MayNotDecide, match="Nobody decides about a run that they have started"):
        approve(actor=Actor.of_operator(bob), approval=question)
    with pytest.raises(MayNotDecide, match="An agent does not decide about the runs of its own tasks"):
        approve(actor=Actor.of_agent(run_of(work).agent), approval=question)
    with pytest.raises(MayNotDecide, match="This needs one of the roles author, finance"):
        reject(actor=Actor.of_operator(viewer), approval=question)
    with pytest.raises(MayNotDecide, match="This needs one of the roles"):
        approve(actor=Actor.of_agent(AgentFactory()), approval=question)
    assert state_of(asked()) == "open"


@pytest.mark.parametrize(
    ("roles", "group", "may"),
    [
        (["operators"], "admin", True),
        (["operator"], "author", True),
        (["authors"], "operator", False),
        (["finance"], "finance", True),
        (["finance"], "admin", False),
    ],
)
def test_a_role_is_held_by_those_above_it_and_any_group_is_one(roles, group, may):
    due_work(asking(roles=roles))
    run_once(Tools())
    operator = OperatorFactory()
    operator.groups.add(Group.objects.get_or_create(name=group)[0])

    if may:
        assert state_of(approve(actor=Actor.of_operator(operator), approval=asked())) == "approved"
    else:
        with pytest.raises(MayNotDecide):
            approve(actor=Actor.of_operator(operator), approval=asked())


def test_agents_decide_where_they_are_asked_to():
    due_work(asking(roles=["agents"]))
    run_once(Tools())

    assert approve(actor=Actor.of_agent(AgentFactory(name="auditor")), approval=asked()).answer["by"] == "agent:auditor"


def test_a_run_that_is_canceled_takes_its_question_back():
    work = due_work(asking())
    run_once(Tools())
    question = asked()
    cancel_run(actor=ann(), run=run_of(work))

    assert (state_of(asked()), open_count()) == ("withdrawn", 0)
    with pytest.raises(NotOpen, match="Its run does not wait for it any more"):
        approve(actor=Actor.of_operator(OperatorFactory(is_superuser=True)), approval=question)

    with_reaper(lambda reaper: reaper.sweep())
    assert (asked().outcome, asked().closed_at is not None) == ("withdrawn", True)


def test_a_run_that_fails_beside_its_question_closes_it_and_asks_anew_when_it_is_redriven():
    tools = Tools(answers=[PipelineError("refused", ErrorClass.PERMANENT, "no"), {"ok": True}])
    branches = {"ask": [{"id": "ok", "approval": {"title": "Pay?"}}], "call": [{"id": "send", "uses": "test.call"}]}
    work = due_work({"version": 1, "steps": [{"id": "both", "parallel": {"branches": branches}}]})
    run_once(tools)
    assert (run_of(work).state, state_of(asked())) == ("failed", "withdrawn")

    retry_run(actor=ann(), run=run_of(work))
    run_once(tools)
    first, second = approvals().order_by("pk")
    assert (state_of(first), state_of(second), second.attempt) == ("withdrawn", "open", 2)
    approve(actor=Actor.of_operator(OperatorFactory(is_superuser=True)), approval=second)
    run_once(tools)

    assert run_of(work).state == "succeeded"


def test_the_deadline_of_the_run_closes_its_question():
    work = due_work(asking(), task={"timeout": timedelta(seconds=30)})
    run_once(Tools())
    parked = reload(work)
    assert parked is not None
    assert parked.deadline_at is not None
    assert abs(parked.available_at - parked.deadline_at) < timedelta(seconds=1)
    past = datetime.now(UTC) - timedelta(seconds=1)
    DueWork.objects.update(available_at=past, deadline_at=past)
    run_once(Tools())

    assert (run_of(work).state, run_of(work).cause) == ("failed", "deadline")
    assert state_of(asked()) == "withdrawn"


def test_a_simulated_run_asks_nobody():
    work = due_work(asking(form=FORM), simulated=True)
    run_once(Tools())

    assert (run_of(work).state, run_of(work).output["ok"]["by"]) == ("succeeded", "simulation")
    assert not Question.objects.exists()


def test_an_agent_sees_the_approvals_of_its_own_tasks():
    work = due_work(asking())
    run_once(Tools())

    assert visible_approvals(run_of(work).agent).exists()
    assert not visible_approvals(AgentFactory()).exists()
    assert visible_approvals(None).exists()


def test_a_detail_may_be_larger_than_what_the_journal_shows_of_it():
    detail = "\N{GRINNING FACE}" * 9_990
    work = due_work(asking(detail=detail))
    run_once(Tools())

    approve(actor=ann(), approval=asked())
    run_once(Tools())

    assert run_of(work).state == "succeeded"
    assert asked().asks["detail"] == detail
