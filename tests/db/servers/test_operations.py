"""Tool servers are registered, changed, read and removed, and each of it is in the audit trail."""

import sys
from typing import Any

import pytest

from pipelines.errors import ErrorClass, PipelineError
from pipelines.models import ToolServer, ToolServerTool
from pipelines.servers import operations
from scheduling.audit.models import AuditEntry
from scheduling.audit.operations import Actor
from scheduling.errors import Conflict, Forbidden, KeyTaken, LimitReached, NotValid, VersionMismatch
from tests.db.servers.support import ACTOR, URL, listed, registered, relisted
from tests.factories import AgentFactory, OperatorFactory

pytestmark = pytest.mark.django_db


def actions() -> list[str]:
    return list(AuditEntry.objects.filter(object_kind="toolserver").order_by("id").values_list("action", flat=True))


def create(**definition: Any) -> ToolServer:
    return operations.create_server(actor=ACTOR, definition={"name": "files", **definition})


def update(server: ToolServer, expected_version: int | None = None, /, **changes: Any) -> ToolServer:
    return operations.update_server(actor=ACTOR, server=server, changes=changes, expected_version=expected_version)


def test_a_server_is_made_changed_and_removed(settings):
    settings.ORDINAUT_MCP_COMMANDS = [sys.executable]

    server = create(url=URL)
    changed = update(server, command=[sys.executable, "-m", "files"], enabled=False)
    operations.delete_server(actor=ACTOR, server=changed)

    assert (changed.url, changed.command[0], changed.is_enabled, changed.version) == ("", sys.executable, False, 2)
    assert actions() == ["tool_server.create", "tool_server.update", "tool_server.delete"]
    assert not ToolServer.objects.exists()


def test_a_change_that_changes_nothing_writes_nothing():
    server = create(url=URL)

    assert update(server, url=URL, enabled=True).version == 1
    assert actions() == ["tool_server.create"]


def test_a_change_to_what_is_no_more_is_refused():
    server = create(url=URL)
    update(server, enabled=False)

    with pytest.raises(VersionMismatch):
        update(server, 1, enabled=True)


@pytest.mark.parametrize(
    ("definition", "pointer", "code"),
    [
        ({}, "/url", "one_way_in"),
        ({"url": URL, "command": ["npx"]}, "/url", "one_way_in"),
        ({"url": "ftp://tools.example/"}, "/url", "invalid_url"),
        ({"url": "https://"}, "/url", "invalid_url"),
        ({"url": "https://user:hunter2@tools.example/"}, "/url", "credentials_in_url"),
        ({"command": ["rm", "-rf", "/"]}, "/command/0", "command_not_allowed"),
        ({"url": URL, "name": "two words"}, "/name", "invalid_slug"),
        ({"url": URL, "is_enabled": True}, "/is_enabled", "unknown_field"),
    ],
)
def test_what_cannot_be_a_server_is_refused_at_its_place(settings, definition, pointer, code):
    settings.ORDINAUT_MCP_COMMANDS = ["npx"]

    with pytest.raises(NotValid) as caught:
        create(**definition)

    assert (pointer, code) in [(problem.pointer, problem.code) for problem in caught.value.problems]
    assert not ToolServer.objects.exists()


def test_a_server_keeps_its_name():
    with pytest.raises(NotValid) as caught:
        update(create(url=URL), name="other")

    assert "keeps its name" in str(caught.value.hint)


def test_names_are_unique_and_servers_not_without_end(monkeypatch):
    create(url=URL)
    with pytest.raises(KeyTaken):
        create(url=URL)

    monkeypatch.setattr(operations, "SERVERS_LIMIT", 1)
    with pytest.raises(LimitReached):
        create(name="other", url=URL)


def test_a_command_is_for_operators(settings):
    settings.ORDINAUT_MCP_COMMANDS = ["npx"]
    agent, operator = Actor.of_agent(AgentFactory()), Actor.of_operator(OperatorFactory())
    definition = {"name": "files", "command": ["npx", "files"]}

    with pytest.raises(Forbidden):
        operations.create_server(actor=agent, definition=definition)
    server = operations.create_server(actor=operator, definition=definition)
    with pytest.raises(Forbidden):
        operations.update_server(actor=agent, server=server, changes={"command": ["npx", "other"]})


def test_a_host_that_may_not_start_a_command_may_still_disable_it(settings):
    settings.ORDINAUT_MCP_COMMANDS = ["npx"]
    server = create(command=["npx", "files"])
    settings.ORDINAUT_MCP_COMMANDS = []

    assert not update(server, enabled=False).is_enabled


def test_tools_are_kept_as_they_were_read_and_read_again(monkeypatch):
    server = create(url=URL)
    answers = iter(
        [
            [listed("read"), listed("write"), listed("two words")],
            [listed("read"), listed("write"), listed("two words")],
            [listed("read", description="Reads better."), listed("list")],
        ]
    )
    monkeypatch.setattr(operations, "discover", lambda _address, seconds: next(answers))

    first = operations.refresh_tools(actor=ACTOR, server=server)
    same = operations.refresh_tools(actor=ACTOR, server=server)
    changed = operations.refresh_tools(actor=ACTOR, server=server)

    assert (first.version, same.version, changed.version) == (2, 2, 3)
    assert same.discovered_at != first.discovered_at
    assert dict(ToolServerTool.objects.values_list("name", "description")) == {
        "read": "Reads better.",
        "list": "Does list.",
    }
    told = AuditEntry.objects.filter(action="tool_server.refresh").order_by("-id").values_list("after", flat=True)[0]
    assert told == {"tools": 2, "added": ["list"], "changed": ["read"], "removed": ["two words", "write"]}


def test_a_server_that_cannot_be_read_keeps_its_tools_and_says_why(monkeypatch):
    server = registered(listed("read"))

    def refuse(_address: object, *, seconds: float) -> None:
        raise PipelineError("connection_failed", ErrorClass.TRANSIENT, "POST tools.example: the connection failed")

    with monkeypatch.context() as patched:
        patched.setattr(operations, "discover", refuse)
        with pytest.raises(operations.ServerNotRead, match="the connection failed"):
            operations.refresh_tools(actor=ACTOR, server=server)

    server.refresh_from_db()
    assert server.last_error == "connection_failed: POST tools.example: the connection failed"
    assert server.tools.count() == 1
    assert AuditEntry.objects.filter(action="tool_server.refresh").last().after == {"error": server.last_error}
    assert relisted(server, listed("read")).last_error == ""


def test_what_was_changed_while_it_was_read_is_read_again(monkeypatch):
    server = create(url=URL)

    def change(_address: object, *, seconds: float) -> list[object]:
        update(server, url="https://other.example/mcp")
        return [listed("read")]

    monkeypatch.setattr(operations, "discover", change)
    with pytest.raises(Conflict):
        operations.refresh_tools(actor=ACTOR, server=server)

    assert not ToolServerTool.objects.exists()
