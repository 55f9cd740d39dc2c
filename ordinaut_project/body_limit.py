"""Bodies of the API within their limit, before Django sees them.

WSGI reads as many bytes as Content-Length says, and none where it is missing: a chunked body would arrive empty. Here
the bytes themselves are counted and gathered, at most 1 MiB of them, and passed on with their length; the first byte
too many is answered with 413 without waiting for the rest.
"""

import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from scheduling.api.bodies import BODY_LIMIT, to_json
from scheduling.api.problems import CONTENT_TYPE, document

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_GUARDED = "/api/"


class _TooLarge(Exception):
    """More bytes came than are allowed."""


class BodyLimitMiddleware:
    """ASGI middleware for everything under /api/; other paths pass through."""

    def __init__(self, application: Application, *, limit: int = BODY_LIMIT) -> None:
        self._application = application
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_GUARDED):
            await self._application(scope, receive, send)
            return
        if _declared_length(scope) > self._limit:
            await _refuse(send)
            return
        try:
            body = await self._gather(receive)
        except _TooLarge:
            await _refuse(send)
            return
        if body is None:
            return
        await self._application(_with_length(scope, len(body)), _replaying(body, receive), send)

    async def _gather(self, receive: Receive) -> bytes | None:
        """The whole body; None where the client went away before its end. Raises _TooLarge."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self._limit:
                raise _TooLarge
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _with_length(scope: Scope, length: int) -> Scope:
    kept = [(name, value) for name, value in scope["headers"] if name not in (b"content-length", b"transfer-encoding")]
    return {**scope, "headers": [*kept, (b"content-length", str(length).encode())]}


def _replaying(body: bytes, receive: Receive) -> Receive:
    """The gathered body once, then whatever the server has to say: that the client has gone."""
    is_sent = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(send: Send) -> None:
    request_id = uuid.uuid4().hex
    problem = document(413, "body_too_large", f"The body is larger than {BODY_LIMIT} bytes.")
    body = to_json({**problem, "request_id": request_id})
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"x-request-id", request_id.encode()),
        (b"content-length", str(len(body)).encode()),
        # What is still to come of the body is not read.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
