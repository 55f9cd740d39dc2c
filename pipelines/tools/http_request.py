"""`http.request`: one HTTP request to the public internet, or to what the operator opens."""

import codecs
import re
from collections.abc import Mapping, Sequence
from email.message import Message
from typing import Any
from urllib.parse import urlencode

import httpx2
import orjson

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools import http_text
from pipelines.tools.base import ANY_SECRET, SideEffect, ToolContext, tool
from pipelines.tools.http_client import DEFAULT_MAX_BYTES, Incoming, Outgoing, exchange, is_success, web_address
from pipelines.tools.http_errors import target

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_WITHOUT_KEY = frozenset({"GET", "HEAD"})
_MAX_BYTES_CEILING = 15 * 1024 * 1024
# These belong to the connection: given by hand they split requests or reach another virtual host than was judged.
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ABSENT: Any = object()

_SCALARS = {"type": ["string", "number", "boolean", "null"]}
_FIELDS = {"type": "object", "additionalProperties": {"anyOf": [_SCALARS, {"type": "array", "items": _SCALARS}]}}
_STATUS = {"type": "integer", "minimum": 100, "maximum": 599}
INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["url"],
    "additionalProperties": False,
    "properties": {
        "method": {"enum": _METHODS, "default": "GET"},
        "url": {"type": "string", "minLength": 1, "maxLength": 8192, "description": "Absolute, http or https."},
        "query": {**_FIELDS, "description": "Added to the URL's own query; a list repeats its name, null is left out."},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "body": {"description": "Any JSON value, sent as application/json."},
        "text": {"type": "string", "description": "Sent as it is, as text/plain unless a header says otherwise."},
        "form": {**_FIELDS, "description": "Sent as application/x-www-form-urlencoded."},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "description": "Seconds; the step's time-out bounds it."},
        "max_bytes": {"type": "integer", "minimum": 1, "maximum": _MAX_BYTES_CEILING, "default": DEFAULT_MAX_BYTES},
        "expect_status": {
            "anyOf": [_STATUS, {"type": "array", "items": _STATUS, "minItems": 1}],
            "description": "The statuses that are no error. Without it: all below 400, redirects followed.",
        },
    },
    "allOf": [{"not": {"required": pair}} for pair in (["body", "text"], ["body", "form"], ["text", "form"])],
}
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["status", "headers", "body", "url"],
    "properties": {
        "status": _STATUS,
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Names in lower case.",
        },
        "body": {"description": "The parsed JSON where the content type says JSON, else the text."},
        "url": {"type": "string", "description": "Of the answer, after redirects."},
    },
}
EXAMPLES = (
    {
        "input": {"url": "https://weather.example/v1", "query": {"city": "Chisinau"}},
        "output": {
            "status": 200,
            "headers": {"content-type": "application/json"},
            "body": {"summary": "Sunny", "temp": 22, "rain_mm": 0},
            "url": "https://weather.example/v1?city=Chisinau",
        },
    },
)


def simulate(_context: ToolContext, /, **given: Any) -> dict[str, Any]:
    """A success that echoes what would have been sent."""
    url = _address(given["url"], given.get("query"))
    expected = _statuses(given.get("expect_status"))
    echo = {name: given[name] for name in ("body", "text", "form") if name in given}
    return {
        "status": expected[0] if expected else 200,
        "headers": {"content-type": "application/json"},
        "body": {"method": given.get("method", "GET"), "url": str(url), **echo},
        "url": str(url),
    }


@tool(
    name="http.request",
    input_schema=INPUT_SCHEMA,
    output_schema=OUTPUT_SCHEMA,
    side_effect=SideEffect.EFFECT,
    simulate=simulate,
    examples=EXAMPLES,
    secrets=frozenset({ANY_SECRET}),
)
async def http_request(
    context: ToolContext,
    *,
    url: str,
    method: str = "GET",
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    body: Any = _ABSENT,
    text: str | None = None,
    form: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    expect_status: int | Sequence[int] | None = None,
) -> dict[str, Any]:
    """Send an HTTP request and return its status, headers and body.

    JSON answers are parsed. Status 408, 425, 429 and 5xx and failing connections are transient errors, other 4xx
    permanent ones. Requests other than GET and HEAD carry an Idempotency-Key that is the same in every attempt.
    A secret that is limited to hosts goes to no other, neither at once nor by a redirect.
    """
    address = _address(url, query)
    sent = _headers(headers or {})
    content = _content(sent, body, text, form)
    if method not in _WITHOUT_KEY:
        sent.setdefault("idempotency-key", context.idempotency_key)
    expected = _statuses(expect_status)
    answer = await exchange(
        Outgoing(method=method, url=address, headers=sent, content=content, hosts=context.hosts),
        seconds=min(timeout or float("inf"), context.time_left.total_seconds()),
        max_bytes=max_bytes,
        is_expected=expected.__contains__ if expected else is_success,
        follows=not any(300 <= status < 400 for status in expected),
    )
    return {
        "status": answer.status,
        "headers": dict(answer.headers.items()),
        "body": _body(answer, target(method, address)),
        "url": answer.url,
    }


def _address(url: str, query: Mapping[str, Any] | None) -> httpx2.URL:
    try:
        address = web_address(url)
    except ValueError as error:
        raise _bad_argument(str(error)) from None
    return address.copy_merge_params(_pairs(query)) if query else address


def _pairs(fields: Mapping[str, Any]) -> httpx2.QueryParams:
    """Fields of a query or form as text: booleans as JSON writes them, lists repeated, nulls left out."""
    return httpx2.QueryParams(
        [
            (name, value if isinstance(value, str) else orjson.dumps(value).decode())
            for name, given in fields.items()
            for value in (given if isinstance(given, list) else [given])
            if value is not None
        ]
    )


def _headers(given: Mapping[str, str]) -> httpx2.Headers:
    for name, value in given.items():
        if name.lower() in _OWN_HEADERS:
            raise _bad_argument(f"the header {name} is set by the connection and cannot be given")
        if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.replace("\t", " ").isprintable():
            raise _bad_argument("a header holds a character that HTTP does not allow there (line break, non-ASCII)")
    headers = httpx2.Headers({"user-agent": "Ordinaut", "accept": "*/*"})
    headers.update(given)
    return headers


def _content(headers: httpx2.Headers, body: Any, text: str | None, form: Mapping[str, Any] | None) -> bytes | None:
    """The bytes to send; sets the content type that fits them unless one was given."""
    if body is not _ABSENT:
        headers.setdefault("content-type", "application/json")
        return orjson.dumps(body)
    if text is not None:
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        return text.encode()
    if form is not None:
        headers.setdefault("content-type", "application/x-www-form-urlencoded")
        return urlencode(_pairs(form).multi_items()).encode()
    return None


def _statuses(expected: int | Sequence[int] | None) -> list[int]:
    if expected is None:
        return []
    return [expected] if isinstance(expected, int) else list(expected)


def _body(answer: Incoming, what: str) -> Any:
    """The parsed JSON where the content type says so (null for an empty body), else the text."""
    described = Message()
    described["content-type"] = answer.headers.get("content-type", "text/plain")
    kind = described.get_content_type()
    if kind != "application/json" and not kind.endswith("+json"):
        return http_text.decoded(answer.content, charset=described.get_content_charset())
    if not answer.content.strip():
        return None
    try:
        return orjson.loads(answer.content.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise PipelineError(
            "bad_response",
            ErrorClass.PERMANENT,
            f"{what} answered {answer.status} and called it JSON, which it is not: {error.msg} at {error.pos}",
        ) from error


def _bad_argument(detail: str) -> PipelineError:
    return PipelineError("bad_argument", ErrorClass.VALIDATION, f"http.request: {detail}")
