"""One session with a tool server, by the official SDK. What goes wrong in it comes out as a PipelineError."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import httpx2
import mcp_types as types
from mcp.client.client import Client
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter, ValidationError

from pipelines.errors import ErrorClass, PipelineError
from pipelines.servers.addresses import ServerAddress
from pipelines.servers.local import LocalServer
from pipelines.servers.wire import Wire, client_of
from pipelines.tools.plain_text import neutralised

MOST_PAGES = 100
_LONGEST_MESSAGE = 500
_NO_SUCH = frozenset({types.INVALID_PARAMS, types.METHOD_NOT_FOUND})
# How the SDK says that the other side is gone, or speaks something else.
_BROKEN = (ValidationError, anyio.ClosedResourceError, anyio.BrokenResourceError, httpx2.HTTPError, OSError)
_ANSWER: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says to a call. `is_gone`: the call failed, and the server lists the tool no more."""

    blocks: Sequence[dict[str, Any]] = ()
    structured: Any = None
    has_structure: bool = False
    is_error: bool = False
    is_gone: bool = False
    asks_back: bool = False

    @classmethod
    def of(cls, result: types.CallToolResult | types.InputRequiredResult, *, is_gone: bool) -> "Answer":
        if isinstance(result, types.InputRequiredResult):
            return cls(asks_back=True)
        return cls(
            # By alias: as the protocol writes them, whatever the SDK calls their members.
            blocks=[block.model_dump(by_alias=True, mode="json", exclude_none=True) for block in result.content],
            structured=result.structured_content,
            has_structure=result.structured_content is not None or "structured_content" in result.model_fields_set,
            is_error=result.is_error,
            is_gone=is_gone,
        )


async def read_tools(address: ServerAddress) -> list[types.Tool]:
    """All tools that the server lists, page by page. Raises PipelineError."""
    return await _converse(address, _list)


async def ask(address: ServerAddress, tool: str, given: dict[str, Any], meta: dict[str, Any]) -> Answer:
    """Call a tool once. Raises PipelineError where no answer came."""

    async def work(session: ClientSession) -> Answer:
        try:
            result = await _call(session, tool, given, meta)
        except MCPError as refusal:
            if refusal.code in _NO_SUCH and await _is_gone(session, tool):
                return Answer(is_gone=True)
            raise
        # Servers answer for a tool that they do not have in either way.
        is_error = isinstance(result, types.CallToolResult) and result.is_error
        return Answer.of(result, is_gone=is_error and await _is_gone(session, tool))

    return await _converse(address, work)


async def _call(
    session: ClientSession, tool: str, given: dict[str, Any], meta: dict[str, Any]
) -> types.CallToolResult | types.InputRequiredResult:
    # By the session's own `call_tool` each call would list all tools, to judge a result that is judged here anyway.
    parameters = types.CallToolRequestParams.model_validate({"name": tool, "arguments": given, "_meta": meta})
    request = types.CallToolRequest(params=parameters)
    try:
        return await session.send_request(request, _ANSWER)
    except MCPError as error:
        if error.code != types.HEADER_MISMATCH:
            raise
    await _list(session)  # from which the SDK learns what the headers are to repeat
    return await session.send_request(request, _ANSWER)


async def _list(session: ClientSession) -> list[types.Tool]:
    tools: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            return tools
    raise PipelineError("too_large", ErrorClass.LIMIT, f"the server lists its tools on more than {MOST_PAGES} pages")


async def _is_gone(session: ClientSession, tool: str) -> bool:
    try:
        return all(each.name != tool for each in await _list(session))
    except MCPError:
        return False


async def _converse(address: ServerAddress, work: Callable[[ClientSession], Awaitable[Result]]) -> Result:
    """Open a session, do the work, end the session."""
    line: Wire | LocalServer = Wire() if address.url else LocalServer(address)
    task = asyncio.current_task()
    assert task is not None
    try:
        async with AsyncExitStack() as stack:
            transport = _transport(address, line, stack)
            client = Client(transport, cache=None, client_info=types.Implementation(name="ordinaut", version="1"))
            session = (await stack.enter_async_context(client)).session
            return await work(session)
    except Exception as error:
        if task.cancelling():
            # The group that the SDK works in tells what broke while it was cut off; that it was is what counts.
            raise asyncio.CancelledError from error
        found = line.failure or _known(address, _leaves(error))
        if found is None:
            raise
        raise found from error


def _transport(address: ServerAddress, line: Wire | LocalServer, stack: AsyncExitStack) -> Any:
    if isinstance(line, LocalServer):
        return line.streams()
    return _over_http(address, client_of(address, line, stack))


@asynccontextmanager
async def _over_http(address: ServerAddress, client: httpx2.AsyncClient) -> AsyncIterator[Any]:
    # Sizes are counted on the wire.
    async with streamable_http_client(address.url, http_client=client, max_sse_event_size=None) as streams:
        yield streams


def failure_of(address: ServerAddress, error: MCPError) -> PipelineError:
    """What an error of the protocol is to a step: permanent where the same call would fail again."""
    words = f"{address.name}: {neutralised(error.message, limit=_LONGEST_MESSAGE)}"
    match error.code:
        case types.INVALID_PARAMS:
            return PipelineError("bad_argument", ErrorClass.VALIDATION, words)
        case types.METHOD_NOT_FOUND | types.UNSUPPORTED_PROTOCOL_VERSION | types.MISSING_REQUIRED_CLIENT_CAPABILITY:
            return PipelineError("not_supported", ErrorClass.PERMANENT, words)
        case types.URL_ELICITATION_REQUIRED:
            return PipelineError("input_required", ErrorClass.PERMANENT, words)
        case types.CONNECTION_CLOSED:
            return PipelineError("connection_failed", ErrorClass.TRANSIENT, words)
        case types.INVALID_REQUEST | types.PARSE_ERROR:
            return PipelineError("protocol_error", ErrorClass.TRANSIENT, words)
        case types.REQUEST_TIMEOUT:
            return PipelineError("timeout", ErrorClass.TIMEOUT, words)
    return PipelineError("server_error", ErrorClass.TRANSIENT, words, cause={"code": error.code})


def _known(address: ServerAddress, errors: Sequence[Exception]) -> PipelineError | None:
    """The one that says most; None where none is of a kind that a server can cause."""
    for error in errors:
        if isinstance(error, PipelineError):
            return error
    for error in errors:
        if isinstance(error, MCPError):
            return failure_of(address, error)
    for error in errors:
        if isinstance(error, _BROKEN):
            kind = type(error).__name__
            return PipelineError(
                "protocol_error", ErrorClass.TRANSIENT, f"{address.name} broke off, or speaks no MCP ({kind})"
            )
    return None


def _leaves(error: Exception) -> list[Exception]:
    return list(_walk(error))


def _walk(error: BaseException) -> Iterator[Exception]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _walk(inner)
    elif isinstance(error, Exception):
        yield error
