"""Bodies in and out: JSON read within limits, JSON written by orjson."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from scheduling.definitions.json_values import DEPTH_LIMIT

BODY_LIMIT = 1024 * 1024
DIGEST = "ordinaut.body_digest"
_MANY_DIGITS = re.compile(rb"[0-9]{19}")
_QUOTE, _BACKSLASH = b'"\\'


class BodyTooLarge(APIException):
    """The body is larger than 1 MiB."""

    status_code = 413
    default_detail = f"The body is larger than {BODY_LIMIT} bytes."
    default_code = "body_too_large"


class TooDeep(ParseError):
    """The body is nested too deep."""

    default_detail = f"The body is nested more than {DEPTH_LIMIT} levels deep."
    default_code = "too_deep"


class StrictJSONParser(BaseParser):
    """Reads at most 1 MiB, counted, and at most 64 levels. NaN, lone surrogates and other near-JSON are refused."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        request = (parser_context or {}).get("request")
        meta = {} if request is None else request.META
        if _declared_length(meta) > BODY_LIMIT:
            raise BodyTooLarge()
        raw = stream.read(BODY_LIMIT + 1)
        if len(raw) > BODY_LIMIT:
            raise BodyTooLarge()
        meta[DIGEST] = hashlib.sha256(raw).hexdigest()
        if not raw.strip():
            return {}
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            if _opens_deeper_than(raw, DEPTH_LIMIT):
                raise TooDeep() from error
            raise ParseError(f"The body is no JSON: {error}.", code="malformed_json") from error
        if is_deeper_than(value, DEPTH_LIMIT):
            raise TooDeep()
        # orjson makes floats of integers past 64 bits; as integers they are refused, with their place, as those past
        # 2^53 are. Such long rows of digits are rare.
        return _with_whole_integers(raw) if _MANY_DIGITS.search(raw) else value


def _with_whole_integers(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError as error:  # more digits than Python reads
        raise ParseError(f"The body has a number that nobody reads: {error}.", code="malformed_json") from error


class JSONRenderer(BaseRenderer):
    """JSON as orjson writes it; instants in UTC end with Z."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else to_json(data)


class ProblemRenderer(JSONRenderer):
    """So that `Accept: application/problem+json` is understood."""

    media_type = "application/problem+json"
    format = "problem"


def to_json(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def is_deeper_than(value: Any, limit: int) -> bool:
    """True when containers nest more than `limit` levels. Without recursion."""
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _opens_deeper_than(raw: bytes, limit: int) -> bool:
    """True when text that is no JSON opens more than `limit` brackets at once, those in strings left out."""
    depth = 0
    in_string = is_escaped = False
    for byte in raw:
        if in_string:
            in_string = is_escaped or byte != _QUOTE
            is_escaped = byte == _BACKSLASH and not is_escaped
        elif byte == _QUOTE:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif byte in b"]}":
            depth -= 1
    return False


def _declared_length(meta: Mapping[str, Any]) -> int:
    text = str(meta.get("CONTENT_LENGTH") or "0")
    return int(text) if text.isdecimal() else 0
