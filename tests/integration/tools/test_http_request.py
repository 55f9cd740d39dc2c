import gzip
import time
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from threading import Event

import orjson
import pytest

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.http_request import INPUT_SCHEMA, OUTPUT_SCHEMA, http_request
from pipelines.tools.json_schema import first_breach
from tests.integration.tools.web import Web, json_reply, reply


def refused(call, **given):
    """The error that the call ends with."""
    with pytest.raises(PipelineError) as caught:
        call(http_request, **given)
    return caught.value


def test_a_json_answer_is_parsed(web, call):
    web.answers["/v1"] = json_reply(b'{"temp": 22.5, "rain_mm": 0}')

    result = call(http_request, url=web.url("/v1"), query={"city": "Chișinău", "days": [1, 2], "raw": True, "no": None})

    assert result["status"] == 200
    assert result["body"] == {"temp": 22.5, "rain_mm": 0}
    assert result["headers"]["content-type"] == "application/json"
    assert web.received[0].path == "/v1?city=Chi%C8%99in%C4%83u&days=1&days=2&raw=true"
    assert first_breach(OUTPUT_SCHEMA, result) is None


def test_the_query_is_added_to_the_one_in_the_url(web, call):
    web.answers["/v1"] = json_reply(b"{}")

    result = call(http_request, url=web.url("/v1?a=1"), query={"b": "2"})

    assert web.received[0].path == "/v1?a=1&b=2"
    assert result["url"] == web.url("/v1?a=1&b=2")


@pytest.mark.parametrize(
    ("given", "content_type", "body"),
    [
        ({"body": {"a": [1, None]}}, "application/json", b'{"a":[1,null]}'),
        ({"body": None}, "application/json", b"null"),
        ({"text": "grüß"}, "text/plain; charset=utf-8", "grüß".encode()),
        ({"form": {"a": "1 2", "b": ["x", "y"]}}, "application/x-www-form-urlencoded", b"a=1+2&b=x&b=y"),
        ({"body": {}, "headers": {"Content-Type": "application/geo+json"}}, "application/geo+json", b"{}"),
    ],
)
def test_a_body_is_sent_with_the_content_type_that_fits_it(web, call, given, content_type, body):
    web.answers["/"] = reply(204)

    result = call(http_request, method="POST", url=web.url(), **given)

    assert web.received[0].headers["content-type"] == content_type
    assert web.received[0].body == body
    assert result["body"] == ""


def test_two_bodies_are_refused_by_the_schema():
    assert first_breach(INPUT_SCHEMA, {"url": "http://a", "text": "", "form": {}}) is not None
    assert first_breach(INPUT_SCHEMA, {"url": "http://a", "text": ""}) is None


def test_every_attempt_of_a_writing_request_carries_the_same_idempotency_key(web, call, context):
    web.answers["/"] = reply(200)

    for method in ("POST", "PUT", "GET", "HEAD"):
        call(http_request, method=method, url=web.url())
    call(http_request, method="POST", url=web.url(), headers={"Idempotency-Key": "own"})

    keys = [received.headers.get("idempotency-key") for received in web.received]
    assert keys == [context.idempotency_key, context.idempotency_key, None, None, "own"]


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (408, ErrorClass.TRANSIENT),
        (425, ErrorClass.TRANSIENT),
        (429, ErrorClass.TRANSIENT),
        (500, ErrorClass.TRANSIENT),
        (503, ErrorClass.TRANSIENT),
        (400, ErrorClass.PERMANENT),
        (401, ErrorClass.PERMANENT),
        (404, ErrorClass.PERMANENT),
        (410, ErrorClass.PERMANENT),
    ],
)
def test_a_status_decides_the_class_of_the_error(web, call, status, error_class):
    web.answers["/secret-path"] = reply(status, b"token=abc", retry_after="7")

    error = refused(
        call,
        url=web.url("/secret-path").replace("http://", "http://user:hunter2@"),
        query={"key": "hunter2"},
        headers={"Authorization": "Bearer hunter2"},
    )

    assert (error.code, error.error_class) == (f"http_{status}", error_class)
    assert error.detail == f"GET 127.0.0.1 answered with status {status}"
    assert error.retry_after == (7 if error_class is ErrorClass.TRANSIENT else None)
    assert "hunter2" not in str(error.as_dict())


def test_retry_after_may_be_a_date(web, call):
    at = datetime.now(UTC) + timedelta(minutes=5)
    web.answers["/"] = reply(503, retry_after=format_datetime(at, usegmt=True))

    error = refused(call, url=web.url())

    assert error.retry_after == pytest.approx(300, abs=5)


def test_an_expected_status_is_no_error_and_another_one_is(web, call):
    web.answers["/gone"] = reply(404, b"nothing here")
    web.answers["/fine"] = reply(200)

    result = call(http_request, url=web.url("/gone"), expect_status=[200, 404])

    assert (result["status"], result["body"]) == (404, "nothing here")
    assert refused(call, url=web.url("/fine"), expect_status=404).code == "http_200"


def test_a_failing_connection_is_transient(web, call, settings):
    settings.ORDINAUT_HTTP_ALLOW = ["127.0.0.1:9"]

    error = refused(call, url="http://127.0.0.1:9/")

    assert (error.code, error.error_class) == ("connection_failed", ErrorClass.TRANSIENT)


def test_a_server_that_hangs_up_is_transient(web, call):
    web.answers["/"] = lambda handler: handler.connection.close()

    error = refused(call, url=web.url())

    assert (error.code, error.error_class) == ("connection_failed", ErrorClass.TRANSIENT)


def test_a_silent_server_is_a_time_out(web, call):
    released = Event()
    web.answers["/"] = lambda handler: released.wait(10)

    error = refused(call, url=web.url(), timeout=0.2)

    released.set()
    assert (error.code, error.error_class) == ("timeout", ErrorClass.TIMEOUT)


def test_a_body_that_drips_without_end_is_a_time_out(web, call):
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        began = time.monotonic()
        while time.monotonic() - began < 10:
            handler.wfile.write(b"x")
            time.sleep(0.01)

    web.answers["/"] = drip

    assert refused(call, url=web.url(), timeout=0.3).code == "timeout"


def test_an_endless_body_is_cut_off_at_the_limit(web, call):
    sent = 0

    def flood(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        while sent < 1 << 30:
            sent += handler.wfile.write(b"x" * 65536)

    web.answers["/"] = flood

    error = refused(call, url=web.url(), max_bytes=100_000)

    assert (error.code, error.error_class) == ("too_large", ErrorClass.LIMIT)
    assert sent < 1 << 26


@pytest.mark.parametrize(("coding", "squeeze"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_decompression_bomb_is_counted_after_decoding(web, call, coding, squeeze):
    bomb = squeeze(b"\0" * (64 << 20))
    web.answers["/"] = reply(200, bomb, content_encoding=coding)

    error = refused(call, url=web.url())

    assert len(bomb) < 100_000
    assert error.code == "too_large"


def test_an_answer_compressed_twice_is_refused(web, call):
    web.answers["/"] = reply(200, gzip.compress(gzip.compress(b"x")), content_encoding="gzip, gzip")

    assert refused(call, url=web.url()).code == "bad_response"


def test_a_broken_compression_is_a_bad_response(web, call):
    web.answers["/"] = reply(200, b"not gzip at all", content_encoding="gzip")

    assert refused(call, url=web.url()).code == "bad_response"


def test_compressed_answers_are_read(web, call):
    web.answers["/"] = reply(200, gzip.compress(b'{"a": 1}'), content_encoding="gzip", content_type="application/json")

    assert call(http_request, url=web.url())["body"] == {"a": 1}


@pytest.mark.parametrize("body", [b"<html>", b'{"a": NaN}', b"[" * 10_000, b'"\xff"'])
def test_an_answer_that_lies_about_being_json_is_a_bad_response(web, call, body):
    web.answers["/"] = json_reply(body)

    error = refused(call, url=web.url())

    assert (error.code, error.error_class) == ("bad_response", ErrorClass.PERMANENT)


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=windows-1251", "Кишинёв".encode("cp1251"), "Кишинёв"),
        ("text/plain", b"caf\xe9", "caf\N{REPLACEMENT CHARACTER}"),
        ("text/plain; charset=no-such-charset", b"plain", "plain"),
        ("text/plain; charset=punycode", b"abc-", "abc-"),
        ("image/png", b"\x89PNG\0", "\N{REPLACEMENT CHARACTER}PNG\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_text_is_decoded_by_its_charset_with_replacement(web, call, content_type, body, text):
    web.answers["/"] = reply(200, body, content_type=content_type)

    assert call(http_request, url=web.url())["body"] == text


def test_an_empty_json_answer_is_null(web, call):
    web.answers["/"] = json_reply(b"")

    assert call(http_request, url=web.url())["body"] is None


def test_a_problem_document_is_json(web, call):
    web.answers["/"] = reply(400, b'{"title": "no"}', content_type="application/problem+json")

    assert call(http_request, url=web.url(), expect_status=400)["body"] == {"title": "no"}


def test_redirects_are_followed_and_the_last_url_is_told(web, call):
    web.answers["/a"] = reply(302, location="/b?x=1")
    web.answers["/b"] = reply(308, location=web.url("/c"))
    web.answers["/c"] = reply(200, b"here")

    result = call(http_request, method="POST", url=web.url("/a"), text="hello")

    assert (result["body"], result["url"]) == ("here", web.url("/c"))
    assert [(received.method, received.body) for received in web.received] == [
        ("POST", b"hello"),
        ("GET", b""),
        ("GET", b""),
    ]
    assert "content-type" not in web.received[1].headers


def test_a_temporary_redirect_keeps_method_and_body(web, call):
    web.answers["/a"] = reply(307, location="/b")
    web.answers["/b"] = reply(200)

    call(http_request, method="PUT", url=web.url("/a"), body=[1])

    assert (web.received[1].method, web.received[1].body) == ("PUT", b"[1]")


def test_a_redirect_that_is_expected_is_not_followed(web, call):
    web.answers["/a"] = reply(302, location="/b")

    result = call(http_request, url=web.url("/a"), expect_status=302)

    assert (result["status"], result["headers"]["location"]) == (302, "/b")


def test_redirects_end_after_five(web, call):
    web.answers["/"] = reply(302, location="/")

    error = refused(call, url=web.url())

    assert (error.code, len(web.received)) == ("too_many_redirects", 6)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://[", "http://a:99999/"])
def test_a_redirect_to_no_web_address_is_refused(web, call, location):
    web.answers["/"] = reply(302, location=location)

    assert refused(call, url=web.url()).code == "bad_response"


def test_a_redirect_to_another_origin_loses_everything_that_may_be_a_credential(web, call, settings):
    other = Web()
    server = other.start()
    settings.ORDINAUT_HTTP_ALLOW = [web.target, other.target]
    web.answers["/"] = reply(307, location=other.url("/there"))
    other.answers["/there"] = reply(200)

    call(
        http_request,
        method="POST",
        url=web.url().replace("http://", "http://user:hunter2@"),
        body={},
        headers={"Authorization": "Bearer hunter2", "Cookie": "s=hunter2", "X-Api-Key": "hunter2", "Accept": "a/b"},
    )

    server.shutdown()
    server.server_close()
    assert web.received[0].headers["x-api-key"] == "hunter2"
    assert "hunter2" not in str(other.received[0].headers)
    assert other.received[0].headers["accept"] == "a/b"
    assert other.received[0].headers["content-type"] == "application/json"


def test_a_redirect_to_a_closed_address_is_refused_before_it_is_connected(web, call):
    other = Web()
    server = other.start()
    web.answers["/"] = reply(302, location=other.url("/metadata"))

    error = refused(call, url=web.url())

    server.shutdown()
    server.server_close()
    assert error.code == "address_refused"
    assert other.received == []


@pytest.mark.parametrize(
    "given",
    [
        {"url": "ftp://example.org/"},
        {"url": "/relative"},
        {"url": "http://"},
        {"url": "http://a b/"},
        {"url": "http://a:0x50/"},
        {"url": "http://a/", "headers": {"X-A": "b\r\nX-C: d"}},
        {"url": "http://a/", "headers": {"X-A\r\n": "b"}},
        {"url": "http://a/", "headers": {"Host": "internal"}},
        {"url": "http://a/", "headers": {"content-length": "5"}},
    ],
)
def test_what_is_no_request_is_refused_before_anything_is_sent(call, given):
    error = refused(call, **given)

    assert (error.code, error.error_class) == ("bad_argument", ErrorClass.VALIDATION)


def test_proxy_variables_are_not_heard(web, call, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    web.answers["/"] = json_reply(b"1")

    assert call(http_request, url=web.url())["body"] == 1


def test_a_simulated_request_echoes_what_would_be_sent(simulate):
    result = simulate(http_request, url="http://a.example/v1", method="POST", query={"q": "x"}, body={"n": 1})

    assert result["url"] == "http://a.example/v1?q=x"
    assert result["body"] == {"method": "POST", "url": "http://a.example/v1?q=x", "body": {"n": 1}}
    assert first_breach(OUTPUT_SCHEMA, orjson.loads(orjson.dumps(result))) is None
