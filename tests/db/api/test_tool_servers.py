"""Tool servers over the API: under a scope of their own, without commands."""

import pytest

from pipelines.models import ToolServer
from pipelines.servers.offers import forget
from scheduling.agents.scopes import DEFAULT_SCOPES
from scheduling.audit.models import AuditEntry
from tests.db.api.gateway import Gateway, assert_problem, gateway_of, pointers
from tests.db.servers.conftest import fresh_catalog as fresh_catalog
from tests.db.servers.support import URL, listed, registered
from tests.tool_servers import http_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def registrar() -> Gateway:
    return gateway_of("tools:admin", "tools:read", "tasks:read")


def test_an_assistant_may_not_see_or_register_servers(api: Gateway):
    assert "tools:admin" not in DEFAULT_SCOPES
    assert_problem(api.get("tool-servers"), 403, "scope_missing")
    assert_problem(api.post("tool-servers", {"name": "files", "url": URL}), 403, "scope_missing")


def test_a_server_is_registered_once_by_its_key_changed_and_removed(registrar: Gateway):
    definition = {"name": "files", "url": URL}
    made = [registrar.post("tool-servers", definition, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    address = made[0]["Location"]

    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json()["tools"] == []
    assert [each["name"] for each in registrar.get("tool-servers").json()["items"]] == ["files"]
    assert_problem(registrar.patch(address, {"enabled": False}, headers={"If-Match": '"7"'}), 412, "version_mismatch")
    assert registrar.patch(address, {"enabled": False}, headers={"If-Match": made[0]["ETag"]}).json()["version"] == 2
    assert registrar.delete(address).status_code == 204
    assert_problem(registrar.get(address), 404, "not_found")
    assert list(AuditEntry.objects.order_by("id").values_list("actor_kind", "action"))[-3:] == [
        ("agent", "tool_server.create"),
        ("agent", "tool_server.update"),
        ("agent", "tool_server.delete"),
    ]


def test_no_token_registers_a_command(registrar: Gateway, settings):
    settings.ORDINAUT_MCP_COMMANDS = ["npx"]

    assert_problem(registrar.post("tool-servers", {"name": "files", "command": ["npx", "x"]}), 403, "forbidden")
    assert not ToolServer.objects.exists()


def test_what_is_wrong_is_located(registrar: Gateway):
    problem = assert_problem(registrar.post("tool-servers", {"name": "a b", "url": 1, "uri": URL}), 422, "not_valid")

    assert pointers(problem) == {"/name", "/url", "/uri"}


def test_its_tools_are_shown_with_what_cannot_be_used_and_stand_in_the_catalog(registrar: Gateway):
    server = registered(listed("read"), listed("two words"))

    shown = registrar.get(f"tool-servers/{server.pk}").json()
    summary = registrar.get("tool-servers").json()["items"][0]

    assert [(each["name"], each["problem"] == "") for each in shown["tools"]] == [
        ("mcp:files/read", True),
        ("mcp:files/two words", False),
    ]
    assert (summary["tool_count"], "tools" in summary) == (1, False)
    assert registrar.get("tools/mcp:files/read").json()["side_effect"] == "effect"
    assert "mcp:files/read" in [each["name"] for each in registrar.get("tools").json()["items"]]


def test_a_disabled_server_is_refused_in_words(registrar: Gateway):
    registered(listed("read"), enabled=False)
    forget()

    problem = assert_problem(registrar.get("tools/mcp:files/read"), 404, "not_found")
    document = {"version": 1, "steps": [{"uses": "mcp:files/read"}]}
    verdict = registrar.post("pipelines/validate", {"document": document}).json()

    assert "disabled" in problem["detail"]
    assert verdict["valid"] is False
    assert "disabled" in verdict["problems"][0]["hint"]


def test_a_refresh_reads_a_real_server_and_a_failure_is_told(registrar: Gateway, settings):
    with http_server() as server:
        made = registrar.post("tool-servers", {"name": "test", "url": server.url}).json()
        refused = assert_problem(registrar.post(f"tool-servers/{made['id']}/refresh"), 409, "tool_server_not_read")
        settings.ORDINAUT_HTTP_ALLOW = [server.target]
        read = registrar.post(f"tool-servers/{made['id']}/refresh").json()

    assert "ORDINAUT_HTTP_ALLOW" in refused["detail"]
    assert "mcp:test/add" in [tool["name"] for tool in read["tools"]]
    assert (read["last_error"], read["version"]) == ("", 2)
