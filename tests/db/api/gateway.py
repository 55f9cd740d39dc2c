"""A client of the API as an assistant has it: JSON both ways, a bearer token, answers as they are."""

from typing import Any

import orjson
from django.test import Client

from scheduling.agents.models import Agent
from scheduling.agents.operations import issue_token
from scheduling.audit.operations import Actor
from tests.factories import AgentFactory

ALL_OWN = ["tasks:read", "tasks:write", "runs:read", "runs:write", "events:write", "tools:read", "workers:read"]

NOTE = {"version": 1, "steps": [{"id": "note", "uses": "log.write", "with": {"message": "hello"}}]}
DAILY = {"kind": "cron", "expression": "0 8 * * *", "timezone": "Europe/Chisinau"}


class Gateway:
    """Calls under /api/v1. `agent` None sends no token."""

    def __init__(self, agent: Agent | None, token: str = "", **defaults: str) -> None:
        self.agent = agent
        self._client = Client(raise_request_exception=False)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._defaults = defaults

    def call(self, method: str, path: str, body: Any = None, /, *, headers: dict[str, str] | None = None, **more: Any):
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        given = {"data": raw, "content_type": "application/json", **more}
        address = path if path.startswith("/") else f"/api/v1/{path}"
        return self._client.generic(method, address, headers={**self._headers, **(headers or {})}, **given)

    def get(self, path: str, **more: Any):
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any):
        return self.call("POST", path, {} if body is None else body, **more)

    def patch(self, path: str, body: Any, **more: Any):
        return self.call("PATCH", path, body, **more)

    def put(self, path: str, body: Any, **more: Any):
        return self.call("PUT", path, body, **more)

    def delete(self, path: str, **more: Any):
        return self.call("DELETE", path, **more)


def gateway_of(*scopes: str, agent: Agent | None = None) -> Gateway:
    """A gateway of a fresh agent with these scopes (default: all of an assistant's)."""
    agent = agent or AgentFactory(scopes=list(scopes) or ALL_OWN)
    _, text = issue_token(actor=Actor.system("tests"), agent=agent)
    return Gateway(agent, text)


def assert_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The answer is a problem document with this status and code; return it."""
    assert answer.status_code == status, answer.content[:2000]
    assert answer["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = orjson.loads(answer.content)
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert all(problem[name] for name in ("type", "title", "detail"))
    assert problem["request_id"] == answer["X-Request-ID"]
    return problem


def pointers(problem: dict[str, Any]) -> set[str]:
    return {error["pointer"] for error in problem.get("errors", [])}
