"""Who asks: an agent with a token, or an operator with a session."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from django.http import HttpRequest
from rest_framework.request import Request

from scheduling.agents.models import Agent, AgentToken, Operator
from scheduling.agents.selectors import scopes_of
from scheduling.audit.operations import Actor


class Principal(Protocol):
    """The caller, as views need it. DRF keeps it as `request.user`."""

    is_authenticated: bool

    @property
    def key(self) -> str:
        """A stable name of the caller, for idempotency keys and limits."""
        ...

    @property
    def agent(self) -> Agent | None:
        """The agent itself; None for an operator."""
        ...

    def lacks(self, *, scope: str | None, permission: str | None) -> str | None:
        """The words for what the caller lacks, None where nothing is lacking."""
        ...

    def sees_only(self) -> Agent | None:
        """The agent whose objects are all that the caller sees; None: everybody's."""
        ...

    def changes_only(self) -> Agent | None:
        """The agent whose objects are all that the caller may change; None: everybody's."""
        ...

    def actor(self, request: HttpRequest) -> Actor: ...


@dataclass
class AgentPrincipal:
    """An agent through one of its tokens."""

    token: AgentToken
    is_authenticated = True

    @property
    def agent(self) -> Agent:
        return self.token.agent

    @property
    def key(self) -> str:
        return f"agent:{self.agent.pk}"

    @property
    def pk(self) -> object:
        return self.agent.pk

    @cached_property
    def scopes(self) -> frozenset[str]:
        return scopes_of(self.token)

    def lacks(self, *, scope: str | None, permission: str | None) -> str | None:
        return None if scope is None or scope in self.scopes else f"the scope {scope}"

    def sees_only(self) -> Agent | None:
        return None if "all:read" in self.scopes else self.agent

    def changes_only(self) -> Agent | None:
        return None if "all:write" in self.scopes else self.agent

    def actor(self, request: HttpRequest) -> Actor:
        return Actor.of_agent(self.agent, request)

    def __str__(self) -> str:
        return self.agent.name


@dataclass
class OperatorPrincipal:
    """A person with a session of the console, judged by Django's permissions."""

    operator: Operator
    agent = None
    is_authenticated = True

    @property
    def key(self) -> str:
        return f"operator:{self.operator.pk}"

    @property
    def pk(self) -> object:
        return self.operator.pk

    def lacks(self, *, scope: str | None, permission: str | None) -> str | None:
        if not self.operator.is_staff:
            return "a role in the console"
        return None if permission is None or self.operator.has_perm(permission) else f"the permission {permission}"

    def sees_only(self) -> Agent | None:
        return None

    def changes_only(self) -> Agent | None:
        return None

    def actor(self, request: HttpRequest) -> Actor:
        return Actor.of_operator(self.operator, request)

    def __str__(self) -> str:
        return self.operator.get_username()


def principal_of(request: Request) -> Principal | None:
    """The caller of a DRF request, None for an anonymous one."""
    user: object = request.user
    return user if isinstance(user, AgentPrincipal | OperatorPrincipal) else None


def actor_of(request: Request) -> Actor:
    """The caller as the audit trail names it. The view's access has made sure that there is one."""
    principal = principal_of(request)
    assert principal is not None, "a view without access was reached"
    return principal.actor(request._request)
