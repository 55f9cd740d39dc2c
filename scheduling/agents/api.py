"""The addresses of agents and tokens."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.agents import operations
from scheduling.agents.definition import AgentDefinition, TokenDefinition
from scheduling.agents.models import Agent, AgentToken
from scheduling.agents.shapes import AgentShape, MeShape, NewTokenShape, TokenShape
from scheduling.api.access import ANYONE_KNOWN, READ_AGENTS, WRITE_AGENTS
from scheduling.api.finding import caller_of
from scheduling.api.idempotency import HEADER, idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters
from scheduling.api.principal import AgentPrincipal, OperatorPrincipal, actor_of
from scheduling.api.shapes import page_shape
from scheduling.api.views import View, body_of, created
from scheduling.definitions.fields import Duration
from scheduling.definitions.strict import StrictSerializer, parse
from scheduling.errors import Forbidden, NotValid
from scheduling.tasks.models import Task


class TokenRotation(StrictSerializer):
    """How long the old token still opens the API; by default it ends at once."""

    grace = Duration(required=False)


class MeView(View):
    tag = "agents"
    access = {"get": ANYONE_KNOWN}

    @extend_schema(operation_id="getMe", responses=MeShape)
    def get(self, request: Request) -> Response:
        """Who asks: the agent, its token and what both may do."""
        caller = caller_of(request)
        if isinstance(caller, AgentPrincipal):
            tasks = Task.objects.filter(agent=caller.agent).not_archived().count()
            agent, token = AgentShape(caller.agent).data, TokenShape(caller.token).data
            return Response({"agent": agent, "token": token, "operator": None, "tasks": tasks})
        assert isinstance(caller, OperatorPrincipal)
        return Response({"agent": None, "token": None, "operator": str(caller), "tasks": None})


class RotateTokenView(View):
    tag = "agents"
    access = {"post": ANYONE_KNOWN}

    @extend_schema(operation_id="rotateToken", request=TokenRotation, responses={201: NewTokenShape})
    def post(self, request: Request) -> Response:
        """Give a new token in place of the one that asks. Its text is in this answer only."""
        _refuse_idempotency(request)
        given = parse(TokenRotation, body_of(request))
        caller = caller_of(request)
        if not isinstance(caller, AgentPrincipal):
            raise Forbidden("Only a token can be rotated.", hint="Tokens of agents are managed in the console.")
        token, text = operations.rotate_token(actor=actor_of(request), token=caller.token, **given)
        return Response({**TokenShape(token).data, "token": text}, status=201)


class AgentList(View):
    tag = "agents"
    access = {"get": READ_AGENTS, "post": WRITE_AGENTS}
    parameters = {"get": PageParameters}

    @extend_schema(operation_id="listAgents", responses=page_shape(AgentShape))
    def get(self, request: Request) -> Response:
        """List agents, newest first."""
        agents: QuerySet[Agent] = Agent.objects.all()
        return Response(page_of(request, agents, self.given, lambda rows: list(AgentShape(rows, many=True).data)))

    @extend_schema(operation_id="createAgent", request=AgentDefinition, responses={201: AgentShape})
    @idempotent
    def post(self, request: Request) -> Response:
        """Create an agent, without a token. Nobody grants a scope that they lack."""
        values = parse(AgentDefinition, body_of(request))
        _require_held(request, values["scopes"])
        agent = operations.create_agent(actor=actor_of(request), **values)
        agent.refresh_from_db()
        return created(AgentShape(agent).data, location=f"/api/v1/agents/{agent.pk}")


class AgentView(View):
    tag = "agents"
    access = {"get": READ_AGENTS, "patch": WRITE_AGENTS}

    @extend_schema(operation_id="getAgent", responses=AgentShape)
    def get(self, request: Request, agent_id: UUID) -> Response:
        """Show an agent."""
        return Response(AgentShape(Agent.objects.get(pk=agent_id)).data)

    @extend_schema(operation_id="updateAgent", request=AgentDefinition, responses=AgentShape)
    @idempotent
    def patch(self, request: Request, agent_id: UUID) -> Response:
        """Change some fields. Its tokens lose the scopes that it loses."""
        agent = Agent.objects.get(pk=agent_id)
        given = parse(AgentDefinition, body_of(request), partial=True)
        _require_held(request, [*agent.scopes, *given.get("scopes", [])])
        changed = operations.update_agent(actor=actor_of(request), agent=agent, changes=body_of(request))
        return Response(AgentShape(changed).data)


class EnableAgentView(View):
    tag = "agents"
    access = {"post": WRITE_AGENTS}

    @extend_schema(operation_id="enableAgent", request=None, responses=AgentShape)
    @idempotent
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Open the agent's tokens again."""
        agent = _manageable(request, agent_id)
        return Response(AgentShape(operations.enable_agent(actor=actor_of(request), agent=agent)).data)


class DisableAgentView(View):
    tag = "agents"
    access = {"post": WRITE_AGENTS}

    @extend_schema(operation_id="disableAgent", request=None, responses=AgentShape)
    @idempotent
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Close every token of the agent at once; its tasks go on."""
        agent = _manageable(request, agent_id)
        return Response(AgentShape(operations.disable_agent(actor=actor_of(request), agent=agent)).data)


class TokenList(View):
    tag = "agents"
    access = {"get": READ_AGENTS, "post": WRITE_AGENTS}
    parameters = {"get": PageParameters}

    @extend_schema(operation_id="listTokens", responses=page_shape(TokenShape))
    def get(self, request: Request, agent_id: UUID) -> Response:
        """List an agent's tokens, without their secrets."""
        tokens = Agent.objects.get(pk=agent_id).tokens.select_related("agent")
        return Response(page_of(request, tokens, self.given, lambda rows: list(TokenShape(rows, many=True).data)))

    @extend_schema(operation_id="issueToken", request=TokenDefinition, responses={201: NewTokenShape})
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Issue a token. Its text is in this answer only."""
        _refuse_idempotency(request)
        agent = _manageable(request, agent_id)
        given = parse(TokenDefinition, body_of(request))
        token, text = operations.issue_token(actor=actor_of(request), agent=agent, **given)
        token.refresh_from_db()
        return Response({**TokenShape(token).data, "token": text}, status=201)


class RevokeTokenView(View):
    tag = "agents"
    access = {"post": WRITE_AGENTS}

    @extend_schema(operation_id="revokeToken", request=None, responses=TokenShape)
    @idempotent
    def post(self, request: Request, agent_id: UUID, token_id: UUID) -> Response:
        """Close a token at once."""
        agent = _manageable(request, agent_id)
        token = AgentToken.objects.select_related("agent").get(pk=token_id, agent=agent)
        return Response(TokenShape(operations.revoke_token(actor=actor_of(request), token=token)).data)


def _manageable(request: Request, agent_id: UUID) -> Agent:
    """The agent, provided that the caller holds all of its scopes: else its token would lend what the caller lacks."""
    agent = Agent.objects.get(pk=agent_id)
    _require_held(request, agent.scopes)
    return agent


def _require_held(request: Request, scopes: Any) -> None:
    caller = caller_of(request)
    if not isinstance(caller, AgentPrincipal):
        return
    for scope in scopes:
        if caller.lacks(scope=str(scope), permission=None):
            raise Forbidden(f"The scope {scope} cannot be granted or managed by one who does not hold it.")


def _refuse_idempotency(request: Request) -> None:
    """A stored answer would keep the token's text in the database."""
    if request.headers.get(HEADER) is not None:
        raise NotValid(f"{HEADER} is not taken here: the answer holds a secret, which is never stored.")


urlpatterns = [
    path("agents", AgentList.as_view(), name="agents"),
    path("agents/me", MeView.as_view(), name="me"),
    path("agents/<uuid:agent_id>", AgentView.as_view(), name="agent"),
    path("agents/<uuid:agent_id>/enable", EnableAgentView.as_view(), name="agent-enable"),
    path("agents/<uuid:agent_id>/disable", DisableAgentView.as_view(), name="agent-disable"),
    path("agents/<uuid:agent_id>/tokens", TokenList.as_view(), name="agent-tokens"),
    path("agents/<uuid:agent_id>/tokens/<uuid:token_id>/revoke", RevokeTokenView.as_view(), name="token-revoke"),
    path("tokens/rotate", RotateTokenView.as_view(), name="token-rotate"),
]
