"""Who acts at the API: agents with a token, an operator with a session of the console.

Each request passes through every layer of the web process, in this one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

USERNAME = "torture"
_PASSWORD = "of-no-use-elsewhere-71"


@dataclass(frozen=True, slots=True)
class Caller:
    """`kind`: what the audit trail calls it. `headers`: what proves who it is."""

    kind: str
    headers: Mapping[str, str]

    def send(self, method: str, path: str, body: Any, *, name: str) -> tuple[int, dict[str, Any]]:
        """The answer's status and JSON object; `name` is the request's id and idempotency key. What is no JSON object,
        and a connection that broke, count as a failure: 599."""
        from django.test import Client

        client = Client(raise_request_exception=False, enforce_csrf_checks=True, SERVER_NAME="localhost")
        try:
            response = client.generic(
                method,
                f"/api/v1{path}",
                b"" if body is None else _json(body),
                content_type="application/json",
                headers={**self.headers, "Idempotency-Key": name, "X-Request-ID": name},
            )
        except Exception:  # noqa: BLE001 (what a client sees as a connection that broke)
            forget_connection()
            return 599, {}
        if response.status_code == 204:
            return 204, {}
        try:
            reply = response.json()
        except ValueError:
            return 599, {}
        return response.status_code, reply if isinstance(reply, dict) else {}


def agent(name: str) -> Caller:
    """A new agent that may do all that the load does."""
    from scheduling.agents.operations import create_agent, issue_token
    from scheduling.audit.operations import Actor

    scopes = ["tasks:read", "tasks:write", "runs:read", "runs:write", "events:write", "queues:operate"]
    system = Actor.system("torture")
    made = create_agent(actor=system, name=name, scopes=scopes, requests_per_minute=100_000)
    return Caller("agent", {"Authorization": f"Bearer {issue_token(actor=system, agent=made)[1]}"})


def operator() -> Caller:
    """A new person who has logged in, with the rights of an author: what agents may do, for the tasks of all."""
    from django.conf import settings
    from django.test import Client
    from django.utils.crypto import get_random_string

    from scheduling.agents.operations import create_operator

    create_operator(username=USERNAME, password=_PASSWORD, role="author")
    client = Client()
    if not client.login(username=USERNAME, password=_PASSWORD):
        raise AssertionError("the operator cannot log in")
    session, secret = client.cookies[settings.SESSION_COOKIE_NAME].value, get_random_string(32)
    cookies = {settings.SESSION_COOKIE_NAME: session, settings.CSRF_COOKIE_NAME: secret}
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return Caller("operator", {"Cookie": cookie, "X-CSRFToken": secret})


def forget_connection() -> None:
    """The next query of this thread opens a new one."""
    from django.db import connection

    connection.close()


def _json(body: Any) -> bytes:
    import orjson

    return orjson.dumps(body)
