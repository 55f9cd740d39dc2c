"""Agents and their tokens: made, rotated, revoked; what the database keeps of a token."""

from datetime import timedelta

import pytest

from scheduling.agents import operations
from scheduling.agents.models import AgentToken
from scheduling.agents.selectors import authenticate, scopes_of
from scheduling.audit.models import AuditEntry
from scheduling.errors import KeyTaken, NotValid
from scheduling.instants import database_now
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent():
    return AgentFactory()


def test_a_token_opens_the_api_and_is_kept_as_a_digest(actor, agent):
    token, text = operations.issue_token(actor=actor, agent=agent, name="laptop")

    assert text.startswith("ord_")
    assert authenticate(text, database_now()) == token
    stored = AgentToken.objects.values_list("prefix", "digest").get()
    assert text not in stored
    assert text.split("_", 2)[2] not in str(AuditEntry.objects.values_list("before", "after"))


def test_a_token_with_the_right_prefix_and_another_secret_opens_nothing(actor, agent):
    _, text = operations.issue_token(actor=actor, agent=agent)

    forged = text[:-1] + ("A" if text[-1] != "A" else "B")

    assert authenticate(forged, database_now()) is None


@pytest.mark.parametrize("text", ["", "ord_", "Bearer x", "ord_000000000000_short", "\x00", "ord_é" + "a" * 60])
def test_a_malformed_token_opens_nothing(text):
    assert authenticate(text, database_now()) is None


def test_a_revoked_an_expired_and_a_disabled_token_open_nothing(actor, agent):
    now = database_now()
    revoked, revoked_text = operations.issue_token(actor=actor, agent=agent)
    _, expiring_text = operations.issue_token(actor=actor, agent=agent, expires_at=now + timedelta(hours=1))
    _, good_text = operations.issue_token(actor=actor, agent=agent)

    operations.revoke_token(actor=actor, token=revoked)

    assert authenticate(revoked_text, now) is None
    assert authenticate(expiring_text, now + timedelta(hours=2)) is None
    assert authenticate(good_text, now) is not None
    operations.disable_agent(actor=actor, agent=agent)
    assert authenticate(good_text, now) is None
    operations.enable_agent(actor=actor, agent=agent)
    assert authenticate(good_text, now) is not None


def test_rotating_ends_the_old_token_at_once_or_after_a_grace(actor, agent):
    now = database_now()
    first, first_text = operations.issue_token(actor=actor, agent=agent)

    second, second_text = operations.rotate_token(actor=actor, token=first)
    _, third_text = operations.rotate_token(actor=actor, token=second, grace=timedelta(minutes=5))

    assert authenticate(first_text, now) is None
    assert authenticate(second_text, now) is not None
    assert authenticate(second_text, now + timedelta(minutes=6)) is None
    assert authenticate(third_text, now + timedelta(days=1)) is not None


def test_use_is_noted_at_most_once_a_minute(actor, agent):
    token, text = operations.issue_token(actor=actor, agent=agent)
    now = database_now()

    authenticate(text, now)
    authenticate(text, now + timedelta(seconds=30))

    token.refresh_from_db()
    assert token.last_used_at == now
    authenticate(text, now + timedelta(seconds=61))
    token.refresh_from_db()
    assert token.last_used_at == now + timedelta(seconds=61)


def test_a_token_has_no_scope_that_its_agent_has_lost(actor):
    agent = AgentFactory(scopes=["tasks:read", "runs:read"])
    token, _ = operations.issue_token(actor=actor, agent=agent, scopes=["runs:read"])

    agent.scopes = ["tasks:read"]

    assert scopes_of(token) == frozenset({"runs:read"}) & frozenset(token.agent.scopes)
    assert scopes_of(token) == frozenset()


def test_an_unknown_scope_is_refused_with_a_suggestion(actor):
    with pytest.raises(NotValid) as refused:
        operations.create_agent(actor=actor, name="helper", scopes=["task:read"])

    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code) == ("/scopes/0", "unknown_scope")
    assert problem.hint == "Did you mean 'tasks:read'?"


def test_a_token_cannot_hold_more_than_its_agent(actor):
    agent = AgentFactory(scopes=["tasks:read"])

    with pytest.raises(NotValid) as refused:
        operations.issue_token(actor=actor, agent=agent, scopes=["tasks:write"])

    assert refused.value.problems[0].code == "scope_not_held"


def test_names_of_agents_are_unique_in_any_case(actor):
    operations.create_agent(actor=actor, name="Helper", scopes=[])

    with pytest.raises(KeyTaken):
        operations.create_agent(actor=actor, name="helper", scopes=[])


def test_an_operator_needs_a_known_role_and_a_decent_password():
    with pytest.raises(NotValid) as no_role:
        operations.create_operator(username="eve", password="correct horse battery", role="operatr")
    with pytest.raises(NotValid) as weak:
        operations.create_operator(username="eve", password="12345", role="operator")

    assert no_role.value.problems[0].hint == "Did you mean 'operator'?"
    assert {problem.pointer for problem in weak.value.problems} == {"/password"}


def test_every_change_is_in_the_audit_trail(actor):
    agent = operations.create_agent(actor=actor, name="helper", scopes=["tasks:read"])
    token, _ = operations.issue_token(actor=actor, agent=agent)
    operations.update_agent(actor=actor, agent=agent, changes={"max_tasks": 5})
    operations.revoke_token(actor=actor, token=token)
    operations.revoke_token(actor=actor, token=token)
    operations.disable_agent(actor=actor, agent=agent)

    actions = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))

    assert actions == ["agent.create", "token.issue", "agent.update", "token.revoke", "agent.disable"]
