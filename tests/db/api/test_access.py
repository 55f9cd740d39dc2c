"""Every address of the API, every method, each scope: the matrix is made from the addresses themselves."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from ordinaut_project.documentation import openapi_document
from scheduling.agents.scopes import SCOPES
from scheduling.api.access import Access
from scheduling.api.views import View
from tests.db.api.gateway import Gateway, assert_problem, gateway_of
from tests.factories import OperatorFactory

pytestmark = pytest.mark.django_db

OPEN = {"/api/v1/schema", "/api/v1/docs"}
METHODS = ("get", "post", "put", "patch", "delete")
# A token's text must not be kept, not even in a stored answer.
WITHOUT_IDEMPOTENCY = {"/api/v1/tokens/rotate", "/api/v1/agents/{agent_id}/tokens"}
# These change nothing.
READING_POSTS = {
    "/api/v1/schedules/preview",
    "/api/v1/schedules/{schedule_id}/backfills/preview",
    "/api/v1/pipelines/validate",
    "/api/v1/pipelines/simulate",
    "/api/v1/tasks/{task_id}/simulate",
}
# Repeating it does no harm, and a key would hold a transaction open while another server is asked.
ASKING_POSTS = {"/api/v1/tool-servers/{server_id}/refresh"}
MISSING = "00000000-0000-7000-8000-000000000000"


def addresses(patterns: Any = None, prefix: str = "/") -> Iterator[tuple[str, type[Any]]]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and path.startswith("/api/"):
            yield path, pattern.callback.view_class  # type: ignore[attr-defined]


def operations() -> list[tuple[str, str, type[View]]]:
    return [
        (method, path, view)
        for path, view in addresses()
        if path not in OPEN
        for method in METHODS
        if hasattr(view, method)
    ]


OPERATIONS = operations()
NAMES = [f"{method} {path}" for method, path, _ in OPERATIONS]


def call(gateway: Gateway, method: str, path: str) -> Any:
    address = re.sub(r"\{\w+\}", MISSING, path)
    return gateway.call(method.upper(), address, None if method == "get" else {})


@pytest.mark.parametrize(("method", "path", "view"), OPERATIONS, ids=NAMES)
def test_every_method_declares_what_it_needs(method, path, view):
    assert issubclass(view, View)
    assert isinstance(view.access.get(method), Access), "a method without access is open to every token"
    assert view.access[method].scope is None or view.access[method].scope in SCOPES


@pytest.mark.parametrize(("method", "path", "view"), OPERATIONS, ids=NAMES)
def test_nobody_comes_in_without_a_token(method, path, view):
    assert_problem(call(Gateway(None), method, path), 401, "not_authenticated")


@pytest.mark.parametrize(("method", "path", "view"), OPERATIONS, ids=NAMES)
def test_a_token_without_the_scope_is_refused_by_name(method, path, view):
    needed = view.access[method].scope
    others = [scope for scope in SCOPES if scope != needed]

    answer = call(gateway_of(*others), method, path)

    if needed is None:
        assert answer.status_code != 403
    else:
        assert needed in assert_problem(answer, 403, "scope_missing")["detail"]


@pytest.mark.parametrize(("method", "path", "view"), OPERATIONS, ids=NAMES)
def test_a_token_with_the_scope_comes_through(method, path, view):
    needed = view.access[method].scope

    answer = call(gateway_of(*([needed] if needed else ["tools:read"])), method, path)

    assert answer.status_code not in (401, 403, 405, 500), answer.content


@pytest.mark.parametrize(("method", "path", "view"), OPERATIONS, ids=NAMES)
def test_what_changes_something_heeds_idempotency_keys(method, path, view):
    heeds = getattr(getattr(view, method), "is_idempotent", False)

    assert heeds == (method != "get" and path not in READING_POSTS | ASKING_POSTS and (method, path) not in _secrets())


def _secrets() -> set[tuple[str, str]]:
    return {("post", path) for path in WITHOUT_IDEMPOTENCY}


def test_every_operation_is_described_with_its_scope():
    described = {
        (method, path): operation
        for path, methods in openapi_document()["paths"].items()
        for method, operation in methods.items()
    }

    assert set(described) == {(method, path) for method, path, _ in OPERATIONS}
    for method, path, view in OPERATIONS:
        scope = view.access[method].scope
        assert described[method, path]["x-required-scopes"] == ([scope] if scope else [])
        assert re.fullmatch(r"[a-z]+[A-Z]\w+", described[method, path]["operationId"])
        assert "401" in described[method, path]["responses"]


def test_an_operator_comes_in_by_session_as_far_as_the_role_goes(client):
    from scheduling.agents.roles import Role, assign

    viewer = OperatorFactory()
    assign(viewer, Role.VIEWER)
    client.force_login(viewer)

    assert client.get("/api/v1/tasks").status_code == 200
    assert client.get("/api/v1/agents/me").json()["operator"] == viewer.username
    denied = client.post(f"/api/v1/tasks/{MISSING}/run", {}, content_type="application/json")
    assert denied.status_code == 403


def test_a_session_must_bring_the_csrf_token_and_a_token_need_not(db):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(OperatorFactory(admin=True))

    answer = strict.post(f"/api/v1/tasks/{MISSING}/run", {}, content_type="application/json")

    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"


def test_an_operator_without_a_role_sees_nothing(client):
    client.force_login(OperatorFactory(is_staff=False))

    assert client.get("/api/v1/tasks").status_code == 403
