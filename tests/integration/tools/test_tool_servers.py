"""Discovery and calls of tools of real MCP servers, over HTTP and as started programs."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import orjson
import pytest
from pytest_django import Settings

from pipelines.engine.ports import ToolCall
from pipelines.errors import ErrorClass, PipelineError
from pipelines.servers.addresses import ServerAddress
from pipelines.servers.discovery import discover
from pipelines.servers.offers import HostCatalog
from pipelines.tools.base import SideEffect
from pipelines.tools.invoke import ToolInvoker
from pipelines.tools.isolation import Isolation
from tests.integration.tools.calling import RUN, failure, invoked, refusal, result
from tests.integration.tools.web import Web, reply
from tests.tool_servers import STDIO, HttpServer, http_server
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def served() -> Iterator[HttpServer]:
    with http_server() as server:
        yield server


@pytest.fixture(params=["http", "stdio"])
def address(request, settings: Settings, served: HttpServer) -> ServerAddress:
    """A server that this host may reach, in either way."""
    settings.ORDINAUT_HTTP_ALLOW = [served.target]
    settings.ORDINAUT_MCP_COMMANDS = [sys.executable]
    if request.param == "http":
        return ServerAddress(name="test", url=served.url)
    return ServerAddress(name="test", command=STDIO)


def test_all_pages_of_tools_are_read_with_schemas_hints_and_what_cannot_be_used(address: ServerAddress):
    found = {tool.name: tool for tool in discover(address, seconds=20)}

    add = found["add"]
    assert (add.description, add.input_schema["required"], add.problem) == ("Add.", ["a", "b"], "")
    assert add.output_schema is not None
    assert add.output_schema["required"] == ["sum"]
    assert (add.side_effect, found["greet"].side_effect) == (SideEffect.IDEMPOTENT, SideEffect.IDEMPOTENT)
    assert (found["fail"].side_effect, found["fail"].output_schema) == (SideEffect.EFFECT, None)
    assert "no step can name it" in found["bad name"].problem
    assert "input schema" in found["bad-schema"].problem
    assert "schemas.example" in found["far-schema"].problem
    assert "told" in found  # of the second page


def test_structured_content_is_the_result_and_else_the_blocks(address: ServerAddress):
    assert result(address, "add", a=1, b=2) == {"sum": 3}
    assert result(address, "greet", name="Ana") == [
        {"type": "text", "text": "Hello Ana"},
        {"type": "text", "text": "Bye"},
    ]


def test_names_of_inputs_are_the_servers_whatever_they_are(address: ServerAddress):
    greeting = result(address, "greet", name="Ana", context=1, self=2, func=3)

    assert greeting[0]["text"] == "Hello Ana"


def test_what_a_tool_says_failed_is_permanent_and_told(address: ServerAddress):
    error = failure(address, "fail")

    assert (error.code, error.error_class) == ("tool_failed", ErrorClass.PERMANENT)
    assert "the door is locked" in error.detail


def test_the_idempotency_key_is_in_the_meta_of_the_call_and_the_environment_is_clean(
    address: ServerAddress, monkeypatch, settings: Settings
):
    monkeypatch.setenv("ORDINAUT_SECRET_KEY", "hunter2")
    monkeypatch.setenv("FOR_TOOLS", "yes")
    settings.ORDINAUT_TOOL_ENVIRONMENT = ["FOR_TOOLS"]

    seen = result(address, "told")

    assert seen["meta"] == {"ordinaut/idempotency-key": f"{RUN}:send"}
    if address.command:
        assert "ORDINAUT_SECRET_KEY" not in seen["environment"]
        assert "FOR_TOOLS" in seen["environment"]


def test_a_tool_that_forgets_the_form_of_its_result_breaks_it(address: ServerAddress):
    error = failure(address, "mute")

    assert (error.code, error.error_class) == ("output_schema", ErrorClass.VALIDATION)


def test_a_tool_that_asks_back_fails_for_good(address: ServerAddress):
    error = failure(address, "asks")

    assert (error.code, error.error_class) == ("input_required", ErrorClass.PERMANENT)


def test_an_unknown_tool_is_told_from_one_that_fails(address: ServerAddress):
    error = failure(address, "nope")

    assert (error.code, error.error_class) == ("unknown_tool", ErrorClass.PERMANENT)
    assert "refresh" in error.detail


def test_twenty_megabytes_come_through_and_more_than_the_limit_does_not(address: ServerAddress):
    assert len(result(address, "large", mebibytes=20)[0]["text"]) == 20 * 1024 * 1024
    error = failure(address, "large", mebibytes=45)

    assert (error.code, error.error_class) == ("too_large", ErrorClass.LIMIT)


def test_a_server_that_dies_in_a_call_is_a_transient_failure(settings: Settings):
    settings.ORDINAUT_MCP_COMMANDS = [sys.executable]
    with http_server() as server:
        settings.ORDINAUT_HTTP_ALLOW = [server.target]
        over_http = failure(ServerAddress(name="test", url=server.url), "die")
    local = failure(ServerAddress(name="test", command=STDIO), "die")

    assert (over_http.code, over_http.error_class) == ("connection_failed", ErrorClass.TRANSIENT)
    assert (local.code, local.error_class) == ("server_died", ErrorClass.TRANSIENT)
    assert "exit status 3" in local.detail


def test_a_server_that_is_killed_in_a_call_and_started_again_serves_the_next_attempt(settings: Settings, tmp_path):
    with http_server() as server:
        settings.ORDINAUT_HTTP_ALLOW = [server.target]
        address = ServerAddress(name="test", url=server.url)
        mark = tmp_path / "child"

        def kill_in_the_call() -> None:
            wait_until(mark.exists)
            server.kill()

        kill = threading.Thread(target=kill_in_the_call)
        kill.start()

        broken = failure(address, "slow", child=str(mark))
        kill.join()
        refused = failure(address, "add", a=1, b=2)
        server.start()

        assert (broken.code, broken.error_class) == ("connection_failed", ErrorClass.TRANSIENT)
        assert (refused.code, refused.error_class) == ("connection_failed", ErrorClass.TRANSIENT)
        assert result(address, "add", a=1, b=2) == {"sum": 3}


def test_the_time_out_of_the_step_ends_a_call(address: ServerAddress):
    error = failure(address, "slow", seconds=3)

    assert (error.code, error.error_class) == ("timeout", ErrorClass.TIMEOUT)


def test_a_private_address_is_refused_where_it_is_not_opened(settings: Settings, served: HttpServer):
    settings.ORDINAUT_HTTP_ALLOW = []
    address = ServerAddress(name="test", url=served.url)

    for error in (refusal(address), failure(address, "add", a=1, b=2)):
        assert (error.code, error.error_class) == ("address_refused", ErrorClass.PERMANENT)


def test_a_redirect_elsewhere_is_not_followed(web: Web, served: HttpServer, settings: Settings):
    settings.ORDINAUT_HTTP_ALLOW = [web.target, served.target]
    web.answers["/mcp"] = reply(307, location=served.url)

    error = refusal(ServerAddress(name="test", url=web.url("/mcp")))

    assert (error.code, error.error_class) == ("redirected", ErrorClass.PERMANENT)


def test_the_token_of_the_host_is_sent_to_it_and_to_nobody_else(settings: Settings, served: HttpServer):
    settings.ORDINAUT_HTTP_ALLOW = [served.target]
    address = ServerAddress(name="test", url=served.url)

    settings.ORDINAUT_MCP_TOKENS = [f"{served.target}=hunter2", "tools.example=other"]
    shown = result(address, "told")["authorization"]
    settings.ORDINAUT_MCP_TOKENS = ["tools.example=other"]

    assert shown == "Bearer hunter2"
    assert result(address, "told")["authorization"] == ""


@pytest.mark.parametrize(
    ("status", "code", "error_class"),
    [
        (401, "http_401", ErrorClass.PERMANENT),
        (403, "http_403", ErrorClass.PERMANENT),
        (500, "http_500", ErrorClass.TRANSIENT),
        (429, "http_429", ErrorClass.TRANSIENT),
        (200, "protocol_error", ErrorClass.TRANSIENT),
    ],
)
def test_what_is_no_mcp_server_is_told_by_its_status(web: Web, status: int, code: str, error_class: ErrorClass):
    web.answers["/mcp"] = reply(status, b"<html>", content_type="text/html")

    error = refusal(ServerAddress(name="test", url=web.url("/mcp")))

    assert (error.code, error.error_class) == (code, error_class)
    assert ("ORDINAUT_MCP_TOKENS" in error.detail) == (status in (401, 403))


def test_a_compressed_answer_is_refused_before_it_is_inflated(web: Web):
    web.answers["/mcp"] = reply(200, b"x", content_type="application/json", content_encoding="gzip")

    assert refusal(ServerAddress(name="test", url=web.url("/mcp"))).code == "bad_response"


class OldServer:
    """Speaks the version of before 2026 as far as a call: an initialization with a session, which may be lost."""

    def __init__(self, web: Web, *, forgets: bool) -> None:
        self._web = web
        self._forgets = forgets

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        last = self._web.received[-1]
        message = orjson.loads(last.body) if last.body else {}
        answers = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "old", "version": "1"},
            },
            "tools/call": {"content": [{"type": "text", "text": "old"}]},
        }
        method = message.get("method")
        if last.method != "POST":
            reply(405)(handler)
        elif method == "tools/call" and self._forgets:
            reply(404, b"{}", content_type="application/json")(handler)
        elif method in answers:
            body = orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answers[method]})
            reply(200, body, content_type="application/json", mcp_session_id="s1")(handler)
        elif "id" in message:
            error = {"code": -32601, "message": "no such method"}
            body = orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error})
            reply(200, body, content_type="application/json")(handler)
        else:
            reply(202)(handler)


def test_a_server_of_an_older_version_is_spoken_to_and_its_session_ended(web: Web):
    web.answers["/mcp"] = OldServer(web, forgets=False)

    assert result(ServerAddress(name="old", url=web.url("/mcp")), "any") == [{"type": "text", "text": "old"}]
    farewell = [each for each in web.received if each.method == "DELETE"]
    assert [each.headers["mcp-session-id"] for each in farewell] == ["s1"]


def test_a_session_that_the_server_has_lost_is_a_transient_failure(web: Web):
    web.answers["/mcp"] = OldServer(web, forgets=True)

    error = failure(ServerAddress(name="old", url=web.url("/mcp")), "any")

    assert (error.code, error.error_class) == ("session_expired", ErrorClass.TRANSIENT)


def test_a_tool_that_is_disabled_while_its_run_is_at_work_is_not_called(address: ServerAddress):
    catalog = HostCatalog()
    described = (address.name, address.url, list(address.command), True, "add", "", "{}", None, "effect", "")
    catalog.take([(1, 1)], [described])
    spec = catalog.get("mcp:test/add")
    assert spec is not None
    catalog.take([(1, 2)], [(*described[:3], False, *described[4:])])

    async def once() -> Any:
        async with Isolation(size=1) as isolation:
            invoke = ToolInvoker(catalog, isolation, run_id=RUN, task_id="t", now=datetime(2025, 6, 2, tzinfo=UTC))
            call = ToolCall(spec=spec, input={"a": 1, "b": 2}, path="sum", attempt=1, timeout=timedelta(seconds=30))
            return await invoke(call)

    with pytest.raises(PipelineError) as caught:
        asyncio.run(once())

    assert (caught.value.code, caught.value.error_class) == ("tool_unavailable", ErrorClass.TRANSIENT)
    assert "disabled" in caught.value.detail


def test_a_session_is_of_one_call(address: ServerAddress):
    other = replace(address, name="other")

    async def side_by_side() -> list[Any]:
        return await asyncio.gather(
            *(invoked(each, "add", {"a": n, "b": 0}) for n in range(3) for each in (address, other))
        )

    assert [each["sum"] for each in asyncio.run(side_by_side())] == [0, 0, 1, 1, 2, 2]
