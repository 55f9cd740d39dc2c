"""The gate before Django: bodies are counted, whatever their headers say."""

import asyncio
from typing import Any

import orjson
import pytest

from ordinaut_project.body_limit import BodyLimitMiddleware


class Inner:
    """The application behind the gate; keeps what it was given."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.lengths: list[bytes | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.bodies.append(message["body"])
        self.lengths.append(dict(scope["headers"]).get(b"content-length"))
        await send({"type": "http.response.start", "status": 200, "headers": []})


def send_through(path: str, messages: list[dict[str, Any]], headers: list[tuple[bytes, bytes]], *, limit: int = 10):
    inner = Inner()
    sent: list[Any] = []
    waiting = iter(messages)

    async def receive() -> Any:
        return next(waiting)

    async def send(message: Any) -> None:
        sent.append(message)

    gate = BodyLimitMiddleware(inner, limit=limit)
    asyncio.run(gate({"type": "http", "path": path, "headers": headers}, receive, send))
    return inner, sent


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_chunked_body_arrives_whole_with_its_length():
    inner, sent = send_through(
        "/api/v1/tasks",
        [part(b"{}", more=True), part(b" ", more=True), part(b"")],
        [(b"transfer-encoding", b"chunked")],
    )

    assert (inner.bodies, inner.lengths) == ([b"{} "], [b"3"])
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(
    ("messages", "headers"),
    [
        ([], [(b"content-length", b"11")]),
        ([part(b"a" * 6, more=True), part(b"a" * 5, more=True)], []),
        ([part(b"a" * 11)], [(b"content-length", b"3")]),
    ],
)
def test_a_body_past_the_limit_is_refused_without_reading_on(messages, headers):
    inner, sent = send_through("/api/v1/tasks", messages, headers)

    assert inner.bodies == []
    assert sent[0]["status"] == 413
    assert dict(sent[0]["headers"])[b"content-type"] == b"application/problem+json"
    assert orjson.loads(sent[1]["body"])["code"] == "body_too_large"


def test_a_client_that_goes_away_has_asked_for_nothing():
    inner, sent = send_through("/api/v1/tasks", [part(b"{}", more=True), {"type": "http.disconnect"}], [])

    assert (inner.bodies, sent) == ([], [])


def test_other_paths_pass_through():
    inner, _ = send_through("/admin/", [part(b"a" * 50)], [(b"content-length", b"50")])

    assert inner.bodies == [b"a" * 50]
