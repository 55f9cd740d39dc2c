"""Approvals over the API: who sees them, who may decide, and what is told where it does not go."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from scheduling.agents.roles import Role, assign
from scheduling.audit.models import AuditEntry
from scheduling.models import Run
from tests.db.api.gateway import assert_problem, gateway_of, pointers
from tests.factories import DueWorkFactory, OperatorFactory, QuestionFactory, RunFactory, TaskFactory
from workers.models import Question

pytestmark = pytest.mark.django_db

FORM = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
FREE = {"title": "Pay?", "detail": "12 EUR", "roles": ["agents"], "form": None}


def asked(agent=None, **fields):
    task = TaskFactory(**({"agent": agent} if agent else {}))
    work = DueWorkFactory(run=RunFactory(task=task, state="waiting"))
    return QuestionFactory(run=work.run, **{"asks": FREE, **fields})


@pytest.fixture
def judge():
    """An agent that decides about the runs of others."""
    return gateway_of("runs:read", "approvals:decide", "all:read")


def test_an_assistant_sees_what_its_runs_ask_and_nobody_elses(api):
    own, foreign = asked(api.agent), asked()

    listed = api.get("approvals?state=open").json()

    assert [item["id"] for item in listed["items"]] == [str(own.pk)]
    assert listed["items"][0] == api.get(f"approvals/{own.pk}").json()
    shown = listed["items"][0]
    assert (shown["run"], shown["task"], shown["step"]) == (str(own.run_id), str(own.run.task_id), "ok")
    assert (shown["state"], shown["title"], shown["detail"], shown["roles"]) == ("open", "Pay?", "12 EUR", ["agents"])
    assert (shown["answered_by"], shown["answer"], shown["allowed_actions"]) == (None, None, [])
    assert_problem(api.get(f"approvals/{foreign.pk}"), 404, "not_found")


def test_they_are_found_by_state_run_and_task(api):
    first = asked(api.agent)
    done = asked(api.agent, closed_at=datetime.now(UTC), outcome="expired")
    ended = QuestionFactory(run=RunFactory(task=first.run.task, state="canceled"))

    def found(query):
        return {item["id"] for item in api.get(f"approvals?{query}").json()["items"]}

    assert found("state=open") == {str(first.pk)}
    assert found("state=expired") == {str(done.pk)}
    assert found("state=withdrawn") == {str(ended.pk)}
    assert found(f"run={first.run_id}") == {str(first.pk)}
    assert found(f"task={first.run.task_id}") == {str(first.pk), str(ended.pk)}
    assert_problem(api.get("approvals?state=maybe"), 400, "invalid_parameter")


def test_an_agent_with_the_scope_approves_with_a_form_and_the_run_is_due(judge):
    approval = asked(asks={**FREE, "form": FORM})

    answer = judge.post(f"approvals/{approval.pk}/approve", {"form": {"amount": 3}, "reason": "fine"})

    shown = answer.json()
    assert answer.status_code == 200
    assert (shown["state"], shown["answer"], shown["reason"]) == ("approved", {"amount": 3}, "fine")
    assert shown["answered_by"] == f"agent:{judge.agent.name}"
    assert shown["allowed_actions"] == []
    assert approval.run.due_work.available_at <= datetime.now(UTC)
    assert AuditEntry.objects.get(action="run.approve").object_id == str(approval.run_id)


def test_a_rejection_is_kept_with_its_reason(judge):
    approval = asked()

    shown = judge.post(f"approvals/{approval.pk}/reject", {"reason": "too dear"}).json()

    assert (shown["state"], shown["answer"], shown["reason"]) == ("rejected", None, "too dear")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"form": {}}, {"/form"}),
        ({}, {"/form"}),
        ({"form": {"amount": "three"}}, {"/form/amount"}),
        ({"form": {"amount": 3}, "rason": "x"}, {"/rason"}),
        ({"form": [3]}, {"/form"}),
        ({"form": {"amount": 3}, "reason": "x" * 1001}, {"/reason"}),
    ],
)
def test_a_form_that_is_not_filled_in_right_is_refused_with_its_place_and_decides_nothing(judge, body, found):
    approval = asked(asks={**FREE, "form": FORM})

    problem = assert_problem(judge.post(f"approvals/{approval.pk}/approve", body), 422, "not_valid")

    assert pointers(problem) == found
    assert Question.objects.get().answer is None


def test_without_a_form_nothing_is_filled_in(judge):
    approval = asked()

    problem = assert_problem(judge.post(f"approvals/{approval.pk}/approve", {"form": {"a": 1}}), 422, "not_valid")

    assert pointers(problem) == {"/form/a"}


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_what_is_decided_late_or_gone_is_told_apart(judge, verb):
    ago = datetime.now(UTC) - timedelta(minutes=1)
    answer = {"approved": True, "by": "operator:ann", "at": "2026-01-01T00:00:00Z", "form": {}, "reason": ""}
    decided = asked(answer=answer, answered_at=ago, outcome="approved")
    late = asked(until=ago)
    gone = QuestionFactory(run=RunFactory(state="canceled"), asks=FREE)

    def detail(approval):
        return assert_problem(judge.post(f"approvals/{approval.pk}/{verb}"), 409, "approval_not_open")["detail"]

    assert detail(decided) == "It was approved by operator:ann at 2026-01-01T00:00:00Z."
    assert detail(late) == "Its time is over."
    assert detail(gone) == "Its run does not wait for it any more."


def test_nobody_decides_about_their_own_or_without_scope_or_role(judge):
    assistant = gateway_of("runs:read", "runs:write", "approvals:decide")
    own = asked(assistant.agent)
    plain = gateway_of("runs:read", "all:read")
    for_people = asked(asks={**FREE, "roles": ["operators"]})

    assert_problem(assistant.post(f"approvals/{own.pk}/approve"), 403, "may_not_decide")
    assert_problem(plain.post(f"approvals/{own.pk}/approve"), 403, "scope_missing")
    problem = assert_problem(judge.post(f"approvals/{for_people.pk}/approve"), 403, "may_not_decide")
    assert problem["detail"] == "This needs one of the roles operators."
    assert not Question.objects.exclude(answer=None).exists()


def test_only_what_the_caller_may_do_is_offered(judge, django_assert_max_num_queries):
    free, for_people = asked(), asked(asks={**FREE, "roles": ["finance"]})
    late = asked(until=datetime.now(UTC) - timedelta(seconds=1))
    ann = Client()
    ann.force_login(operator := OperatorFactory(username="ann"))
    assign(operator, Role.OPERATOR)
    operator.groups.add(Group.objects.create(name="finance"))
    mine = asked(asks={**FREE, "roles": []})
    Run.objects.filter(pk=mine.run_id).update(triggered_by="operator:ann")
    plain = gateway_of("runs:read", "all:read")

    def offered(get, approval):
        listed = {each["id"]: each["allowed_actions"] for each in get("approvals").json()["items"]}
        shown = get(f"approvals/{approval.pk}").json()["allowed_actions"]
        assert listed[str(approval.pk)] == shown
        return shown

    def by_ann(address):
        return ann.get(f"/api/v1/{address}")

    both = ["approve", "reject"]
    every = (free, for_people, mine, late)
    assert [offered(judge.get, each) for each in every] == [both, [], both, []]
    assert [offered(by_ann, each) for each in every] == [[], both, [], []]
    assert [offered(plain.get, each) for each in every] == [[], [], [], []]
    with django_assert_max_num_queries(8):
        by_ann("approvals")


def test_a_document_whose_roles_nobody_can_hold_is_warned_of_and_saved():
    api = gateway_of("tasks:read", "tasks:write")
    asks = {"id": "ok", "approval": {"title": "Pay?", "roles": ["finance", "operators", "admin", "agents"]}}
    document = {"version": 1, "steps": [asks]}

    before = api.post("pipelines/validate", {"document": document}).json()
    saved = api.post("tasks", {"key": "pay", "pipeline": document})
    Group.objects.create(name="finance")
    after = api.post("pipelines/validate", {"document": document}).json()

    assert [(each["code"], each["severity"]) for each in before["problems"]] == [("unknown_role", "warning")]
    assert before["valid"] is True
    assert saved.status_code == 201, saved.content
    assert after["problems"] == []


def test_the_same_decision_sent_twice_with_a_key_is_one(judge):
    approval = asked()
    headers = {"Idempotency-Key": "decide-1"}

    first = judge.post(f"approvals/{approval.pk}/approve", headers=headers)
    second = judge.post(f"approvals/{approval.pk}/approve", headers=headers)

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert AuditEntry.objects.filter(action="run.approve").count() == 1
