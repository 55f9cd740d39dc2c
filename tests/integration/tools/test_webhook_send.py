"""`webhook.send` against a local receiver that verifies with the standard's own library."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings
from standardwebhooks import Webhook, WebhookVerificationError

from pipelines import checks, conf
from pipelines.errors import PipelineError
from pipelines.tools.webhook_send import webhook_send
from tests.integration.tools.web import Web, reply

SECRET = "whsec_" + b64encode(b"s" * 32).decode()
NEXT_SECRET = "whsec_" + b64encode(b"t" * 24).decode()
GIVEN = {"type": "invoice.paid", "data": {"number": 7, "who": "Zoë"}}


@pytest.fixture
def receiver(web: Web, settings: Settings) -> Web:
    settings.ORDINAUT_WEBHOOK_SECRETS = [f"{web.host}={SECRET}"]
    web.answers["/in"] = reply(204)
    return web


def failure(call: Callable[..., Any], *context: Any, **given: Any) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        call(webhook_send, *context, **{**GIVEN, **given})
    return caught.value


def test_a_receiver_verifies_what_was_sent(receiver: Web, call: Callable[..., Any]):
    answer = call(webhook_send, url=receiver.url("/in"), **GIVEN)

    (received,) = receiver.received
    assert received.method == "POST"
    assert received.headers["content-type"] == "application/json"
    assert Webhook(SECRET).verify(received.body, received.headers) == {
        "type": "invoice.paid",
        "timestamp": "2025-06-02T05:00:00Z",
        "data": {"number": 7, "who": "Zoë"},
    }
    assert answer == {"id": received.headers["webhook-id"], "status": 204}
    with pytest.raises(WebhookVerificationError):
        Webhook(NEXT_SECRET).verify(received.body, received.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(received.body.replace(b"7", b"8"), received.headers)


def test_every_attempt_of_a_step_has_the_same_id_and_body_and_another_step_has_not(receiver: Web, call, context):
    url = receiver.url("/in")
    for own in (
        context,
        replace(context, attempt=2),
        replace(context, idempotency_key="0197a0b2-0000-7000-8000-000000000001:all[1].send"),
    ):
        call(webhook_send, own, url=url, **GIVEN)

    first, again, other = receiver.received
    assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)
    assert other.headers["webhook-id"] != first.headers["webhook-id"]
    assert "." not in other.headers["webhook-id"]  # a full stop ends the id in what is signed


def test_two_secrets_sign_side_by_side_and_a_port_has_its_own(receiver: Web, settings: Settings, call):
    settings.ORDINAUT_WEBHOOK_SECRETS = [f"{receiver.host}={SECRET}", f"{receiver.host}={NEXT_SECRET}"]
    call(webhook_send, url=receiver.url("/in"), **GIVEN)
    settings.ORDINAUT_WEBHOOK_SECRETS = [f"{receiver.host}={SECRET}", f"{receiver.target}={NEXT_SECRET}"]
    call(webhook_send, url=receiver.url("/in"), **GIVEN)

    both, own = receiver.received
    assert Webhook(SECRET).verify(both.body, both.headers) == Webhook(NEXT_SECRET).verify(both.body, both.headers)
    assert Webhook(NEXT_SECRET).verify(own.body, own.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(own.body, own.headers)


def test_a_host_without_a_secret_is_sent_nothing(receiver: Web, settings: Settings, call):
    settings.ORDINAUT_WEBHOOK_SECRETS = [f"other.example={SECRET}"]

    error = failure(call, url=receiver.url("/in"))

    assert (error.code, error.error_class) == ("not_configured", "permanent")
    assert "ORDINAUT_WEBHOOK_SECRETS" in error.detail
    assert receiver.received == []


@pytest.mark.parametrize(
    ("answer", "code", "error_class"),
    [
        (reply(503, b"", retry_after="7"), "http_503", "transient"),
        (reply(410), "http_410", "permanent"),
        (reply(307, b"", location="http://elsewhere.example"), "http_307", "permanent"),
    ],
)
def test_failures_are_told_apart_and_keep_the_secret(answer, code, error_class, receiver: Web, call):
    receiver.answers["/in"] = answer

    error = failure(call, url=receiver.url("/in"))

    assert (error.code, error.error_class) == (code, error_class)
    assert SECRET not in str(error.as_dict())
    assert len(receiver.received) == 1


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/in", "nonsense"])
def test_what_is_no_address_of_the_web_is_refused(url, receiver: Web, call):
    assert failure(call, url=url).code == "bad_argument"


def test_a_private_receiver_has_to_be_opened(receiver: Web, settings: Settings, call):
    settings.ORDINAUT_HTTP_ALLOW = []

    assert failure(call, url=receiver.url("/in")).code == "address_refused"
    assert receiver.received == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("whsec_abc", "entry 2 is not of the form"),
        ("https://a.example/in=" + SECRET, "entry 2 is not of the form"),
        ("*=" + SECRET, "entry 2 is not of the form"),
        ("a.example=abcdef", "does not begin with whsec_"),
        ("a.example=whsec_ü", "is not base64"),
        ("a.example=whsec_YWJj", "has 3 bytes; 24 to 64 are allowed"),
    ],
)
def test_a_setting_of_the_wrong_form_stops_the_start_and_is_not_repeated(entry, words, settings: Settings):
    settings.ORDINAUT_WEBHOOK_SECRETS = [f"b.example={SECRET}", entry]

    (found,) = [each for each in checks.check_settings() if each.id == "pipelines.E010"]

    assert words in found.msg
    assert SECRET not in found.msg
    assert "abcdef" not in found.msg


def test_receivers_are_found_however_they_are_spelled(settings: Settings):
    settings.ORDINAUT_WEBHOOK_SECRETS = [f"Hooks.Example.com.={SECRET}", f"[::1]:8443={SECRET}", f"0:0::2={SECRET}"]

    secrets = conf.webhook_secrets()

    assert secrets.of("hooks.example.com", 443)
    assert secrets.of("::1", 8443)
    assert secrets.of("::2", 80)
    assert not secrets.of("::1", 443)
    assert not secrets.of("example.com", 443)
    assert SECRET not in repr(secrets)


def test_simulated_nothing_is_sent(receiver: Web, simulate: Callable[..., Any]):
    answer = simulate(webhook_send, url=receiver.url("/in"), **GIVEN)

    assert answer["status"] == 204
    assert answer["id"].startswith("msg_")
    assert receiver.received == []
