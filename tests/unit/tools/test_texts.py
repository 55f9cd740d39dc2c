"""The small pure modules: neutral text, schema checks, Retry-After, frames, mail errors."""

import asyncio
import smtplib
from datetime import UTC, datetime

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ErrorClass
from pipelines.tools import frames
from pipelines.tools.email_errors import delivery_error
from pipelines.tools.http_client import web_address
from pipelines.tools.http_errors import retry_after, status_error
from pipelines.tools.http_text import decoded
from pipelines.tools.json_schema import check_schema, first_breach
from pipelines.tools.plain_text import neutralised

NOW = datetime(2025, 6, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\r\nlevel=error", r"a\r\nlevel=error"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\u2028b\u202eevil", r"a\u2028b\u202eevil"),
        ("\ud800", r"\ud800"),
        ("ziua de mâine 👩‍💻", "ziua de mâine 👩‍💻"),
    ],
)
def test_text_loses_its_power_over_logs_and_terminals_and_nothing_else(text, shown):
    assert neutralised(text) == shown


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters()))
def test_neutral_text_is_one_printable_line_that_any_sink_takes(text):
    shown = neutralised(text)

    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    shown.encode()


def test_long_text_is_cut_with_a_mark():
    assert neutralised("x" * 20, limit=5) == "xxxxx…"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Mon, 02 Jun 2025 12:00:30 GMT", 30.0),
        ("Mon, 02 Jun 2025 11:00:00 GMT", 0.0),
        (None, None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("9" * 400, None),
        ("Mon, 99 Jun 2025 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value, seconds):
    assert retry_after(value, now=NOW) == seconds


def test_a_permanent_status_says_nothing_about_when_to_try_again():
    error = status_error("GET a", 404, httpx2.Headers({"retry-after": "5"}), now=NOW)

    assert (error.is_retryable, error.retry_after, error.cause) == (False, None, {"status": 404})


@pytest.mark.parametrize(
    "url", ["a", "//a/", "javascript:1", "http:///a", "http://a:0/", "http://a:65536/", "http://\n/"]
)
def test_what_is_no_web_address_is_refused(url):
    with pytest.raises(ValueError, match="the URL"):
        web_address(url)


def test_a_schema_that_refers_outside_itself_is_refused_and_not_fetched():
    with pytest.raises(ValueError, match="references outside"):
        check_schema({"$ref": "http://127.0.0.1:9/schema.json"})


def test_a_breach_tells_place_and_rule_and_not_the_value():
    schema = {"type": "object", "properties": {"a/b": {"type": "array", "items": {"type": "string", "maxLength": 3}}}}

    breach = first_breach(schema, {"a/b": ["ok", "hunter2"]})

    assert breach is not None
    assert breach.pointer == "/a~1b/1"
    assert "hunter2" not in breach.message
    assert first_breach(schema, {"a/b": ["ok"]}) is None


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\0\0\0\x05{}", b"\0\0\0\x02[]", b"\0\0\0\x02{!", b"\xff\xff\xff\xff"]
)
def test_what_is_no_frame_is_refused(content):
    async def read():
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        reader.feed_eof()
        return await frames.read(reader)

    with pytest.raises(frames.FrameError):
        asyncio.run(read())


@settings(deadline=None, max_examples=100)
@given(
    st.binary(max_size=200), st.sampled_from([None, "utf-8", "utf-16", "shift_jis", "latin-1", "zlib", "idna", "\0"])
)
def test_any_bytes_become_text_that_can_be_stored(content, charset):
    text = decoded(content, charset=charset)

    assert "\0" not in text
    text.encode()


def chained(error: Exception, context: Exception) -> Exception:
    error.__context__ = context
    return error


@pytest.mark.parametrize(
    ("error", "code", "error_class"),
    [
        (smtplib.SMTPDataError(452, b"full"), "mail_deferred", ErrorClass.TRANSIENT),
        (smtplib.SMTPAuthenticationError(535, b"no"), "mail_refused", ErrorClass.PERMANENT),
        (
            smtplib.SMTPRecipientsRefused({"a": (550, b"no"), "b": (451, b"later")}),
            "mail_deferred",
            ErrorClass.TRANSIENT,
        ),
        (smtplib.SMTPNotSupportedError("SMTPUTF8"), "mail_refused", ErrorClass.PERMANENT),
        (smtplib.SMTPServerDisconnected("gone"), "connection_failed", ErrorClass.TRANSIENT),
        (chained(smtplib.SMTPServerDisconnected("timed out"), TimeoutError()), "timeout", ErrorClass.TIMEOUT),
        (TimeoutError(), "timeout", ErrorClass.TIMEOUT),
        (ConnectionRefusedError(), "connection_failed", ErrorClass.TRANSIENT),
        (smtplib.SMTPException("odd"), "mail_failed", ErrorClass.INTERNAL),
    ],
)
def test_each_failure_of_a_delivery_has_its_class(error, code, error_class):
    told = delivery_error(error)

    assert (told.code, told.error_class) == (code, error_class)
