"""The network under a session over HTTP: the guarded one, with sizes counted and failures remembered.

The SDK tells a failure of the network, of a status or of a size as "connection closed", or as a group of exceptions.
What it was is therefore noted here, where it happens.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime

import httpx2

from pipelines import conf
from pipelines.errors import ErrorClass, PipelineError
from pipelines.servers.addresses import ServerAddress
from pipelines.tools.http_client import TRANSPORT_FAILURES, GuardedTransport, web_address
from pipelines.tools.http_errors import status_error, target, transport_error

MOST_BYTES = 40 * 1024 * 1024  # of one answer; a result is written twice, as value and as text
_CONNECT_SECONDS = 10.0
_FAREWELL_SECONDS = 1.0
_SESSION = "mcp-session-id"


class Wire(httpx2.AsyncBaseTransport):
    """A transport for the client of one session. `failure` is what went wrong with the last message, if anything."""

    def __init__(self) -> None:
        self._network = GuardedTransport()
        self.failure: PipelineError | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        is_message = request.method == "POST"
        if is_message:
            self.failure = None
        what = target(request.method, request.url)
        try:
            # The farewell is a courtesy: a server that does not answer it holds up nobody.
            async with asyncio.timeout(_FAREWELL_SECONDS if request.method == "DELETE" else None):
                answer = await self._network.handle_async_request(request)
        except (PipelineError, *TRANSPORT_FAILURES) as error:
            failure = error if isinstance(error, PipelineError) else transport_error(what, error)
            if is_message:
                self.failure = failure
            raise failure from error
        failed = _failure_of(request, answer, what)
        if is_message and failed is not None:
            self.failure = failed
        answer.stream = _Counted(self, answer.stream, what, is_message=is_message)
        return answer

    async def aclose(self) -> None:
        await self._network.aclose()


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, wire: Wire, stream: object, what: str, *, is_message: bool) -> None:
        assert isinstance(stream, httpx2.AsyncByteStream)
        self._wire, self._stream, self._what, self._is_message = wire, stream, what, is_message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for piece in self._stream:
                size += len(piece)
                if size > MOST_BYTES:
                    raise PipelineError(
                        "too_large", ErrorClass.LIMIT, f"{self._what}: the answer is larger than {MOST_BYTES} bytes"
                    )
                yield piece
        except (PipelineError, *TRANSPORT_FAILURES) as error:
            failure = error if isinstance(error, PipelineError) else transport_error(self._what, error)
            if self._is_message:
                self._wire.failure = failure
            raise failure from error

    async def aclose(self) -> None:
        await self._stream.aclose()


def client_of(address: ServerAddress, wire: Wire, stack: AsyncExitStack) -> httpx2.AsyncClient:
    """A client for one session, closed with `stack`. It sends the token that the operator gave for the host, if any.

    Answers come uncompressed, so that what is counted is what is read. Raises PipelineError for what is no address.
    """
    try:
        url = web_address(address.url)
    except ValueError as error:
        raise PipelineError("bad_argument", ErrorClass.PERMANENT, f"{address.name}: {error}") from None
    headers = {"user-agent": "Ordinaut", "accept-encoding": "identity"}
    port = url.port or (443 if url.scheme == "https" else 80)
    if (token := conf.mcp_tokens().of(url.host, port)) is not None:
        headers["authorization"] = f"Bearer {token}"
    client = httpx2.AsyncClient(
        transport=wire, headers=headers, trust_env=False, timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS)
    )
    stack.push_async_callback(_close, client)
    return client


async def _close(client: httpx2.AsyncClient) -> None:
    with suppress(*TRANSPORT_FAILURES):
        await client.aclose()


def _failure_of(request: httpx2.Request, answer: httpx2.Response, what: str) -> PipelineError | None:
    """What the head of an answer says, where it is no success. A refusal that explains itself as JSON is left to the
    protocol, which may also say by it that it speaks another version."""
    status = answer.status_code
    if "content-encoding" in answer.headers and answer.headers["content-encoding"].lower() != "identity":
        return PipelineError("bad_response", ErrorClass.PERMANENT, f"{what}: the answer is compressed, unasked")
    if status == 404 and _SESSION in request.headers:
        return PipelineError("session_expired", ErrorClass.TRANSIENT, f"{what}: the server does not know the session")
    if 300 <= status < 400:
        return PipelineError(
            "redirected", ErrorClass.PERMANENT, f"{what} answered with a redirect; register the address it leads to"
        )
    explains_itself = status in (400, 404) and answer.headers.get("content-type", "").startswith("application/json")
    if status < 400 or explains_itself:
        return None
    error = status_error(what, status, answer.headers, now=datetime.now(UTC))
    if status in (401, 403):
        error.detail += "; an operator gives the token for this host by ORDINAUT_MCP_TOKENS"
    return error
