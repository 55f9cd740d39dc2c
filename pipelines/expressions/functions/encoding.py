"""JSON, hashes and encodings. Texts are UTF-8."""

import base64
import binascii
import hashlib
from typing import Any
from urllib.parse import quote

import orjson

from pipelines.expressions.functions.registry import bad_argument, function
from pipelines.expressions.metering import Meter
from pipelines.expressions.values import to_text


@function(
    "to_json(value: any) -> string", ("to_json({a: [1, 'b']})", '{"a":[1,"b"]}'), ("to_json('a')", '"a"'), metered=True
)
def to_json(meter: Meter, value: Any) -> str:
    """As compact JSON; a string too gets its quotes (to_string() leaves it as it is)."""
    meter.spend_whole(value)
    return orjson.dumps(value).decode() if isinstance(value, str) else to_text(value)


@function("from_json(text: string) -> any", ("from_json('{\"a\": [1]}').a", [1]), metered=True)
def from_json(meter: Meter, text: str) -> Any:
    """The value that the JSON text holds. A text that is no JSON is an error."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # The library makes room by a text's length; where much is opened and nothing closed, it names a lack of it.
        reason = "the text ends before what it opens is closed" if "memory" in error.msg else error.msg
        raise bad_argument(f"from_json(): {reason} at line {error.lineno}, column {error.colno}") from error
    meter.spend_whole(value)
    return value


@function(
    "sha256(text: string) -> string",
    ("sha256('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
)
def sha256(text: str) -> str:
    """The SHA-256 digest of the text, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@function("base64_encode(text: string) -> string", ("base64_encode('abc')", "YWJj"))
def base64_encode(text: str) -> str:
    """In base64, with padding (RFC 4648, section 4)."""
    return base64.b64encode(text.encode()).decode()


@function("base64_decode(text: string) -> string", ("base64_decode('YWJj')", "abc"))
def base64_decode(text: str) -> str:
    """The text behind the base64, also the URL-safe kind, padded or not. What is no base64 or no UTF-8 is an error."""
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise bad_argument("base64_decode() takes the base64 of a UTF-8 text") from error


@function("url_encode(text: string) -> string", ("url_encode('a b&ț')", "a%20b%26%C8%9B"))
def url_encode(text: str) -> str:
    """Percent-encoded, fit for one value of a query or one segment of a path."""
    return quote(text, safe="")
