"""Make agents, give them tokens and take them away. Each function is one transaction and one audit entry."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from scheduling.agents.definition import AgentDefinition
from scheduling.agents.models import Agent, AgentToken, Operator
from scheduling.agents.roles import Role, assign
from scheduling.agents.scopes import problems_of_scopes
from scheduling.agents.tokens import new_token
from scheduling.audit.operations import Actor, record
from scheduling.audit.snapshots import difference, snapshot
from scheduling.definitions.durations import duration_text
from scheduling.definitions.json_values import require_storable
from scheduling.definitions.strict import did_you_mean, parse
from scheduling.errors import IllegalTransition, KeyTaken, NotValid, Problem
from scheduling.instants import database_now


@transaction.atomic
def create_agent(
    *,
    actor: Actor,
    name: str,
    scopes: Sequence[str],
    description: str = "",
    max_tasks: int = 1000,
    minimum_interval: timedelta | str = timedelta(0),
    requests_per_minute: int = 600,
) -> Agent:
    """Make an agent without a token. NotValid for unknown scopes, KeyTaken for a name in use (in any case).

    `minimum_interval` may be the text of an ISO 8601 duration; NotValid where it is none.
    """
    given = {
        "name": name,
        "scopes": list(scopes),
        "description": description,
        "max_tasks": max_tasks,
        "minimum_interval": minimum_interval if isinstance(minimum_interval, str) else duration_text(minimum_interval),
        "requests_per_minute": requests_per_minute,
    }
    values = parse(AgentDefinition, given)
    if Agent.objects.filter(name__iexact=values["name"]).exists():
        raise KeyTaken(f"There is an agent named {name!r} already.", pointer="/name")
    agent = Agent.objects.create(**values)
    record(actor=actor, action="agent.create", target=agent, after=snapshot(agent))
    return agent


@transaction.atomic
def update_agent(*, actor: Actor, agent: Agent, changes: dict[str, object]) -> Agent:
    """Change description, scopes or limits. Tokens keep no scope that their agent loses."""
    values = parse(AgentDefinition, changes, partial=True)
    held = Agent.objects.select_for_update().get(pk=agent.pk)
    before = snapshot(held)
    name = values.get("name", held.name)
    if Agent.objects.filter(name__iexact=name).exclude(pk=held.pk).exists():
        raise KeyTaken(f"There is an agent named {name!r} already.", pointer="/name")
    for field, value in values.items():
        setattr(held, field, value)
    old, new = difference(before, snapshot(held))
    if new:
        held.save(update_fields=list(values))
        record(actor=actor, action="agent.update", target=held, before=old, after=new)
    return held


@transaction.atomic
def issue_token(
    *,
    actor: Actor,
    agent: Agent,
    name: str = "",
    scopes: Sequence[str] | None = None,
    expires_at: datetime | None = None,
) -> tuple[AgentToken, str]:
    """Make a token and return it with its text, which nobody can read again. `scopes` None: all of the agent's."""
    require_storable(name=name)
    if scopes is not None:
        _require_no_problems(problems_of_scopes(scopes, allowed=agent.scopes))
    if expires_at is not None and expires_at <= database_now():
        raise NotValid.at("/expires_at", "in_the_past", "A token that has expired already opens nothing.")
    made = new_token()
    token = AgentToken.objects.create(
        agent=agent,
        name=name,
        prefix=made.prefix,
        digest=made.digest,
        scopes=None if scopes is None else list(scopes),
        expires_at=expires_at,
    )
    record(actor=actor, action="token.issue", target=token, after=snapshot(token))
    return token, made.text


@transaction.atomic
def rotate_token(*, actor: Actor, token: AgentToken, grace: timedelta = timedelta(0)) -> tuple[AgentToken, str]:
    """Give a new token in place of this one: same name, scopes and length of life. The old one ends after `grace`."""
    now = database_now()
    old = AgentToken.objects.select_for_update().select_related("agent").get(pk=token.pk)
    if old.revoked_at is not None:
        raise IllegalTransition("A revoked token cannot be rotated.", allowed_actions=())
    expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
    new, text = issue_token(actor=actor, agent=old.agent, name=old.name, scopes=old.scopes, expires_at=expires_at)
    before = snapshot(old)
    if grace > timedelta(0):
        ends_at = now + grace
        old.expires_at = ends_at if old.expires_at is None else min(old.expires_at, ends_at)
    else:
        old.revoked_at = now
    old.save(update_fields=["expires_at", "revoked_at"])
    gone, present = difference(before, snapshot(old))
    record(actor=actor, action="token.rotate", target=old, before=gone, after={**present, "replaced_by": str(new.pk)})
    return new, text


@transaction.atomic
def revoke_token(*, actor: Actor, token: AgentToken) -> AgentToken:
    """Close a token at once. Revoking it again changes nothing."""
    now = database_now()
    if AgentToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now):
        token.revoked_at = now
        record(actor=actor, action="token.revoke", target=token, after={"revoked_at": now.isoformat()})
    return token


@transaction.atomic
def disable_agent(*, actor: Actor, agent: Agent) -> Agent:
    """Close every token of the agent at once; its tasks go on. Disabling it again changes nothing."""
    now = database_now()
    if Agent.objects.filter(pk=agent.pk, disabled_at=None).update(disabled_at=now):
        agent.disabled_at = now
        record(actor=actor, action="agent.disable", target=agent, after={"disabled_at": now.isoformat()})
    return agent


@transaction.atomic
def enable_agent(*, actor: Actor, agent: Agent) -> Agent:
    """Open the agent's tokens again, those that are neither revoked nor expired."""
    if Agent.objects.filter(pk=agent.pk, disabled_at__isnull=False).update(disabled_at=None):
        agent.disabled_at = None
        record(actor=actor, action="agent.enable", target=agent, after={"disabled_at": None})
    return agent


@transaction.atomic
def create_operator(*, username: str, password: str, role: str, actor: Actor | None = None) -> Operator:
    """Make a person who may log in to the console. `role` is viewer, operator, author or admin.

    NotValid for a role that does not exist or a password that is too weak.
    """
    require_storable(username=username)
    if role not in Role.values:
        raise NotValid.at("/role", "unknown_role", f"There is no role {role!r}.", did_you_mean(role, Role.values))
    if Operator.objects.filter(username__iexact=username).exists():
        raise KeyTaken(f"There is an operator named {username!r} already.", pointer="/username")
    operator = Operator(username=username, is_staff=True)
    try:
        validate_password(password, operator)
    except ValidationError as error:
        raise NotValid.because(
            Problem(pointer="/password", code="weak_password", detail=text) for text in error.messages
        ) from error
    operator.set_password(password)
    operator.save()
    assign(operator, Role(role))
    record(
        actor=actor or Actor.system("create_operator"),
        action="operator.create",
        target=operator,
        after={"username": username, "role": role},
    )
    return operator


def _require_no_problems(problems: Sequence[Problem]) -> None:
    if problems:
        raise NotValid.because(problems)
