"""One guarded HTTP exchange: redirects by hand, sizes counted, every failure a pipeline error.

Used by `http.request` and by calendars. A client lives for one exchange: connections, cookies and TLS sessions of one
run are never seen by another.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from ssl import SSLContext

import httpcore2
import httpx2

from pipelines import conf
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.guard import GuardedBackend
from pipelines.tools.http_errors import status_error, target, transport_error

MAX_REDIRECTS = 5
DEFAULT_MAX_BYTES = 5 * 1024 * 1024
_CONNECT_SECONDS = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BODY_HEADERS = frozenset({"content-type", "content-encoding", "content-language"})
# What a stranger may see after a redirect to another origin. Everything else a caller gave may be a credential, under
# whatever name (authorization, cookie, x-api-key, ...).
_HARMLESS_HEADERS = _BODY_HEADERS | {"accept", "accept-encoding", "accept-language", "user-agent"}
TRANSPORT_FAILURES = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpx2.DecodingError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """`hosts`: the only ones that it may be sent to, because it holds a secret; None for any."""

    method: str
    url: httpx2.URL
    headers: httpx2.Headers
    content: bytes | None = None
    hosts: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """An answer read to its end. `content` is decoded of its compression; `url` is the last hop's, no userinfo."""

    status: int
    headers: httpx2.Headers
    content: bytes
    url: str


def web_address(text: str) -> httpx2.URL:
    """Read an absolute http or https URL. Raises ValueError, whose text does not repeat the URL."""
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ValueError("the URL is malformed") from error
    if url.scheme not in ("http", "https"):
        raise ValueError("the URL must begin with http:// or https://")
    if not url.host or "%" in url.host or (url.port is not None and not 0 < url.port < 65536):
        raise ValueError("the URL has no valid host and port")
    return url


def is_success(status: int) -> bool:
    return status < 400


async def exchange(
    outgoing: Outgoing,
    *,
    seconds: float,
    max_bytes: int = DEFAULT_MAX_BYTES,
    is_expected: Callable[[int], bool] = is_success,
    follows: bool = True,
) -> Incoming:
    """Send a request, follow its redirects (unless `follows` is False), return the answer.

    Raises PipelineError: `timeout` after `seconds` in all, `too_large` past `max_bytes` (counted after decompression),
    `address_refused` by the guard, `secret_not_for_host`, `http_<status>` where `is_expected` says no to the status,
    and what `transport_error` makes of a failing connection.
    """
    what = target(outgoing.method, outgoing.url)
    try:
        async with asyncio.timeout(seconds), _client() as client:
            return await _follow(client, outgoing, max_bytes, is_expected, MAX_REDIRECTS if follows else 0)
    except TimeoutError:
        raise PipelineError(
            "timeout", ErrorClass.TIMEOUT, f"{what} did not finish within {seconds:g} seconds"
        ) from None
    except TRANSPORT_FAILURES as error:
        raise transport_error(what, error) from error


async def _follow(
    client: httpx2.AsyncClient,
    outgoing: Outgoing,
    max_bytes: int,
    is_expected: Callable[[int], bool],
    redirects: int,
) -> Incoming:
    hop = outgoing
    for left in range(redirects, -1, -1):
        _require_host(hop)
        async with client.stream(hop.method, hop.url, headers=hop.headers, content=hop.content) as response:
            location = response.headers.get("location")
            if redirects and location is not None and response.status_code in _REDIRECTS:
                if left:
                    hop = _next_hop(hop, response.status_code, location)
                continue
            what = target(hop.method, hop.url)
            if not is_expected(response.status_code):
                raise status_error(what, response.status_code, response.headers, now=datetime.now(UTC))
            content = await _read(response, what, max_bytes)
            url = str(hop.url.copy_with(userinfo=b""))
            return Incoming(status=response.status_code, headers=response.headers, content=content, url=url)
    raise PipelineError(
        "too_many_redirects",
        ErrorClass.PERMANENT,
        f"{target(outgoing.method, outgoing.url)} redirected more than {MAX_REDIRECTS} times",
    )


def _require_host(hop: Outgoing) -> None:
    if hop.hosts is not None and hop.url.host.lower() not in hop.hosts:
        detail = f"{target(hop.method, hop.url)}: a secret in this request may not be sent there; it names its hosts"
        raise PipelineError("secret_not_for_host", ErrorClass.PERMANENT, detail)


def _next_hop(hop: Outgoing, status: int, location: str) -> Outgoing:
    """The request after a redirect, as RFC 9110 section 15.4 has it; across origins without the caller's headers."""
    try:
        url = web_address(str(hop.url.join(location)))
    except (ValueError, httpx2.InvalidURL):
        raise PipelineError(
            "bad_response", ErrorClass.PERMANENT, f"{target(hop.method, hop.url)} redirected to no web address"
        ) from None
    moved = replace(hop, url=url)
    if (status == 303 and hop.method != "HEAD") or (status in (301, 302) and hop.method == "POST"):
        moved = replace(moved, method="GET", content=None, headers=_without(hop.headers, _BODY_HEADERS))
    if _origin(url) != _origin(hop.url):
        strange = {name for name in moved.headers if name not in _HARMLESS_HEADERS}
        moved = replace(moved, headers=_without(moved.headers, strange))
    return moved


def _without(headers: httpx2.Headers, names: frozenset[str] | set[str]) -> httpx2.Headers:
    return httpx2.Headers([(name, value) for name, value in headers.multi_items() if name not in names])


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


async def _read(response: httpx2.Response, what: str, max_bytes: int) -> bytes:
    """The body, decompressed piece by piece and counted as it grows, so that a bomb costs no more than the limit.

    More than one content coding is refused: the inner one could swallow what the outer inflates without a count.
    """
    if len(response.headers.get_list("content-encoding", split_commas=True)) > 1:
        raise PipelineError("bad_response", ErrorClass.PERMANENT, f"{what}: the answer is compressed more than once")
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > max_bytes:
            raise PipelineError(
                "too_large", ErrorClass.LIMIT, f"{what}: the answer is larger than {max_bytes} bytes (max_bytes)"
            )
    return bytes(body)


def _client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=GuardedTransport(),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
    )


@lru_cache(maxsize=1)
def tls_context() -> SSLContext:
    """The trust store, read once a process (10 ms): the system's, or what SSL_CERT_FILE and SSL_CERT_DIR name."""
    return httpcore2.default_ssl_context()


class GuardedTransport(httpx2.AsyncBaseTransport):
    """httpcore2's pool behind httpx2's interface, on the guarded network. Failures pass as httpcore2 raises them."""

    def __init__(self) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls_context(), network_backend=GuardedBackend(conf.http_allow()), http1=True, http2=False
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._pool.handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._answer.aiter_stream():
            yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()
