"""A walk over every operation that the API describes, with NULs and junk wherever a caller may write something."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest

from ordinaut_project.documentation import openapi_document
from pipelines.models import ToolServer
from scheduling.agents.scopes import SCOPES
from scheduling.audit.models import AuditEntry
from tests.db.api.gateway import Gateway, gateway_of
from tests.factories import (
    AgentFactory,
    AgentTokenFactory,
    BackfillFactory,
    BulkOperationFactory,
    CalendarFactory,
    DueWorkFactory,
    QuestionFactory,
    WorkerFactory,
)
from tests.hostile import JUNK, NUL, Turns, shown, some_of, undone

pytestmark = pytest.mark.django_db

WORDS = (NUL, *JUNK)
# In bodies, beside the words: what is of another type, and too large or too deep in the small.
VALUES: tuple[Any, ...] = (*WORDS, None, True, 2**63, [], [NUL], {NUL: NUL})
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
def anything() -> Gateway:
    """An agent that may do everything, as fast as it likes."""
    return gateway_of(agent=AgentFactory(scopes=sorted(SCOPES), requests_per_minute=1_000_000))


def ids_of(agent: Any) -> dict[str, str]:
    """An object of the agent for every name in a path."""
    backfill = BackfillFactory(schedule__task__agent=agent)
    schedule = backfill.schedule
    work = DueWorkFactory(run__task=schedule.task, run__agent=agent)
    return {
        "agent_id": str(agent.pk),
        "token_id": str(AgentTokenFactory(agent=agent).pk),
        "backfill_id": str(backfill.pk),
        "schedule_id": str(schedule.pk),
        "task_id": str(schedule.task_id),
        "run_id": str(work.run_id),
        "approval_id": str(QuestionFactory(run=work.run).pk),
        "operation_id": str(BulkOperationFactory(agent=agent).pk),
        "calendar_id": str(CalendarFactory(agent=agent).pk),
        "server_id": str(ToolServer.objects.create(name="near", url="http://127.0.0.1:9/").pk),  # which is refused
        "worker_id": str(WorkerFactory().pk),
        "digest": "d" * 64,
        "name": "default",
    }


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in openapi_document()["paths"].items():
        yield from ((method, path, item[method]) for method in METHODS if method in item)


def bodies_of(operation: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A body that is as it should be, and the schema of its members."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    examples = [example["value"] for example in content.get("examples", {}).values()]
    yield (examples or [{}])[-1], _resolved(content["schema"]).get("properties", {})


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """What a schema refers to, also as the one thing beside null."""
    for each in (schema, *schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if "$ref" in each:
            found: dict[str, Any] = openapi_document()["components"]["schemas"][each["$ref"].rpartition("/")[2]]
            return found
    return schema


def names_the_nul(answer: Any) -> bool:
    """A verdict on a document, which stores nothing, refuses in its own way."""
    verdict = answer.json()
    return verdict.get("valid") is False and "nul_character" in {each["code"] for each in verdict["problems"]}


class Walk:
    def __init__(self, api: Gateway) -> None:
        self._api = api
        self.wrong: list[str] = []
        self.sent = 0

    def send(self, method: str, path: str, body: Any, what: str) -> None:
        self.sent += 1
        entries = AuditEntry.objects.count()
        with undone():
            answer = self._api.call(method.upper(), path, body)
            if answer.status_code >= 500:
                self.wrong.append(f"{method} {path[:120]} {what}: {answer.status_code}")
            elif ("%00" in path or "\\x00" in what) and answer.status_code < 400 and not names_the_nul(answer):
                self.wrong.append(f"{method} {path[:120]} {what}: {answer.status_code}, a NUL was taken")
        assert AuditEntry.objects.count() == entries

    def check(self) -> None:
        assert self.sent
        assert not self.wrong, "\n".join(self.wrong)


@pytest.mark.slow
def test_the_parameters_of_every_operation(anything: Gateway):
    walk = Walk(anything)
    ids = ids_of(anything.agent)

    for method, path, operation in operations():
        address = path.format_map(ids)
        names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        for name in (*names, "foreign", NUL):
            for value in [NUL, *some_of(WORDS, f"{method} {path} {name}", 1)]:
                walk.send(method, f"{address}?{urlencode({name: value})}", None, "")

    walk.check()


def test_the_ids_of_every_operation(anything: Gateway):
    walk = Walk(anything)
    ids = ids_of(anything.agent)

    for method, path, operation in operations():
        for name in (each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"):
            for value in (*WORDS, "..", "a/b", "01980000-0000-7000-8000-000000000000"):
                walk.send(method, path.format_map({**ids, name: quote(value[:3000], safe="")}), None, name)

    walk.check()


def test_the_headers_of_every_operation(anything: Gateway):
    ids = ids_of(anything.agent)

    for method, path, _operation in operations():
        for header in ("Idempotency-Key", "If-Match", "X-Request-ID", "Accept-Language", "Authorization"):
            for value in some_of((NUL, '"\x00"', "x" * 500, "²"), f"{method} {path} {header}", 1):
                with undone():
                    answer = anything.call(method.upper(), path.format_map(ids), None, headers={header: value})
                    assert answer.status_code < 500, (method, path, header, value)


@pytest.mark.slow
def test_the_members_of_every_body(anything: Gateway):
    walk = Walk(anything)
    ids = ids_of(anything.agent)
    turns = Turns(VALUES, places=2)

    for method, path, operation in operations():
        address = path.format_map(ids)
        for body, members in bodies_of(operation):
            for name, schema in members.items():
                for value in [NUL, *turns.at_next_place()]:
                    walk.send(method, address, {**body, name: value}, f"{name}={shown(value)}")
                for inner in _resolved(schema).get("properties", {}):
                    for value in [NUL, *turns.at_next_place()]:
                        changed = {**(body.get(name) or {}), inner: value}
                        walk.send(method, address, {**body, name: changed}, f"{name}.{inner}={shown(value)}")
            for value in some_of(VALUES, f"{method} {path}", 4):
                walk.send(method, address, orjson.dumps(value), f"the body={shown(value)}")

    walk.check()
