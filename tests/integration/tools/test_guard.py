"""The guard on real sockets: the assertion is that no connection was made. Only the resolver is replaced."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools import guard
from pipelines.tools.addresses import AllowList
from pipelines.tools.http_request import http_request
from tests.integration.tools.web import reply


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def is_untouched(listener: socket.socket) -> bool:
    """True where nobody connected: there is nothing to accept."""
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


def answers(monkeypatch, *replies: list[str]) -> list[str]:
    """Replace the resolver by one that gives `replies` in turn; the list that is returned names what it was asked."""
    asked: list[str] = []
    waiting = iter(replies)

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(waiting)

    monkeypatch.setattr(guard, "resolve", resolve)
    return asked


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "0", "[::ffff:127.0.0.1]", "[::1]", "LOCALHOST"],
)
def test_no_spelling_of_loopback_is_connected_to(call, settings, listener, host):
    settings.ORDINAUT_HTTP_ALLOW = []
    port = listener.getsockname()[1]

    with pytest.raises(PipelineError) as caught:
        call(http_request, url=f"http://{host}:{port}/")

    assert is_untouched(listener)
    assert (caught.value.code, caught.value.error_class) == ("address_refused", ErrorClass.PERMANENT)
    assert "ORDINAUT_HTTP_ALLOW" in caught.value.detail


def test_a_name_with_one_private_address_among_public_ones_is_refused(call, settings, listener, monkeypatch):
    settings.ORDINAUT_HTTP_ALLOW = []
    answers(monkeypatch, ["93.184.215.14", "127.0.0.1"])

    with pytest.raises(PipelineError, match="address_refused"):
        call(http_request, url=f"http://mixed.example:{listener.getsockname()[1]}/")

    assert is_untouched(listener)


def test_a_rebinding_name_is_resolved_once_and_the_judged_address_is_the_connected_one(web, settings, monkeypatch):
    """A second answer, of a listener nobody may reach, would be used if anything resolved again."""
    asked = answers(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    monkeypatch.setattr(socket, "getaddrinfo", None)
    web.answers["/"] = reply(200)
    backend = guard.GuardedBackend(AllowList.parse([web.target]))

    async def connected_to() -> str:
        stream = await backend.connect_tcp("rebind.example", web.port, timeout=5)
        address = stream.get_extra_info("server_addr")[0]
        await stream.aclose()
        return str(address)

    assert asyncio.run(connected_to()) == "127.0.0.1"
    assert asked == ["rebind.example"]


def test_the_name_and_not_the_address_stands_in_the_host_header(web, call, settings, monkeypatch):
    answers(monkeypatch, ["127.0.0.1"])
    settings.ORDINAUT_HTTP_ALLOW = [f"weather.example:{web.port}"]
    web.answers["/"] = reply(200)

    call(http_request, url=f"http://weather.example:{web.port}/")

    assert web.received[0].headers["host"] == f"weather.example:{web.port}"


def test_an_allowed_port_opens_no_other_port_of_the_host(call, settings, listener):
    settings.ORDINAUT_HTTP_ALLOW = [f"127.0.0.1:{listener.getsockname()[1] + 1}"]

    with pytest.raises(PipelineError, match="address_refused"):
        call(http_request, url=f"http://127.0.0.1:{listener.getsockname()[1]}/")

    assert is_untouched(listener)


def test_a_name_that_does_not_resolve_is_transient(call):
    with pytest.raises(PipelineError) as caught:
        call(http_request, url="http://no-such-host.invalid/")

    assert (caught.value.code, caught.value.error_class) == ("name_not_resolved", ErrorClass.TRANSIENT)


def test_a_second_address_is_tried_where_the_first_does_not_answer(web, settings, monkeypatch, call):
    settings.ORDINAUT_HTTP_ALLOW = [f"two.example:{web.port}"]
    answers(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    web.answers["/"] = reply(200)

    assert call(http_request, url=f"http://two.example:{web.port}/")["status"] == 200
