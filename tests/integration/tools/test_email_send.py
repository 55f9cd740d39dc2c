"""Mail over real sockets: Django's SMTP back end and a server of the test's own."""

import email
import email.policy
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import timedelta

import pytest
from aiosmtpd.controller import Controller

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.email_send import INPUT_SCHEMA, OUTPUT_SCHEMA, email_send
from pipelines.tools.json_schema import first_breach


@dataclass
class Mailbox:
    """Keeps what it is sent; `refusals` maps an address to the reply it gets, `data_reply` answers the message."""

    kept: list[tuple[list[str], bytes]] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    data_reply: str = "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.data_reply.startswith("250"):
            self.kept.append((envelope.rcpt_tos, envelope.content))
        return self.data_reply

    def message(self) -> email.message.EmailMessage:
        ((_, content),) = self.kept
        return email.message_from_bytes(content, policy=email.policy.default)


class MailServer(Controller):
    """aiosmtpd on a socket that is bound already, so that no port can be taken in between."""

    def __init__(self, box: Mailbox, listening: socket.socket) -> None:
        self._listening = listening
        super().__init__(box, hostname="127.0.0.1", port=listening.getsockname()[1])

    def _create_server(self):
        return self.loop.create_server(self._factory_invoker, sock=self._listening)


@pytest.fixture
def mailbox(settings) -> Iterator[Mailbox]:
    box = Mailbox()
    controller = MailServer(box, socket.create_server(("127.0.0.1", 0)))
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", controller.port, False
    settings.DEFAULT_FROM_EMAIL = "Ordinaut <ordinaut@example.com>"
    yield box
    controller.stop()


def refused(call, **given):
    with pytest.raises(PipelineError) as caught:
        call(email_send, **given)
    return caught.value


def test_a_mail_arrives_as_it_was_written(mailbox, call, context):
    result = call(email_send, to="Ana <ana@example.com>", subject="Ziua ta în Chișinău", text="Însorit, 22°C")

    assert mailbox.kept[0][0] == ["ana@example.com"]
    assert mailbox.message()["subject"] == "Ziua ta în Chișinău"
    assert mailbox.message()["from"] == "Ordinaut <ordinaut@example.com>"
    assert mailbox.message().get_content().strip() == "Însorit, 22°C"
    assert mailbox.message()["x-ordinaut-run"] == context.run_id
    assert mailbox.message()["auto-submitted"] == "auto-generated"
    assert result == {"message_id": mailbox.message()["message-id"], "accepted": ["ana@example.com"], "refused": []}
    assert first_breach(OUTPUT_SCHEMA, result) is None


def test_a_second_attempt_carries_the_same_message_id_and_another_step_another_one(mailbox, call, context):
    first = call(email_send, to="a@example.com", subject="s", text="t")
    second = call(email_send, changed(context, attempt=2), to="a@example.com", subject="s", text="t")
    other = call(email_send, changed(context, idempotency_key="r:other"), to="a@example.com", subject="s", text="t")

    assert first["message_id"] == second["message_id"] != other["message_id"]
    assert first["message_id"].endswith("@example.com>")


@pytest.mark.parametrize(
    ("written", "header"),
    [
        ("Știrbu Ion <ion@example.com>", "Știrbu Ion <ion@example.com>"),
        ('"Doe, Jane" <jane@example.com>', '"Doe, Jane" <jane@example.com>'),
        ("post@bücher.example", "post@xn--bcher-kva.example"),
    ],
)
def test_names_and_international_domains_are_kept(mailbox, call, written, header):
    call(email_send, to=written, subject="s", text="t")

    assert mailbox.message()["to"] == header


def test_html_and_text_go_as_alternatives_and_html_alone_as_html(mailbox, call):
    call(email_send, to="a@example.com", subject="s", text="plain", html="<b>rich</b>")

    assert mailbox.message().get_content_type() == "multipart/alternative"

    mailbox.kept.clear()
    call(email_send, to="a@example.com", subject="s", html="<b>rich</b>")

    assert mailbox.message().get_content_type() == "text/html"


def test_copies_go_to_everyone_and_blind_copies_stay_hidden(mailbox, call):
    result = call(
        email_send,
        to=["a@example.com", "b@example.com"],
        cc="c@example.com",
        bcc=["d@example.com"],
        subject="s",
        text="t",
    )

    assert sorted(mailbox.kept[0][0]) == ["a@example.com", "b@example.com", "c@example.com", "d@example.com"]
    assert b"d@example.com" not in mailbox.kept[0][1]
    assert result["accepted"] == ["a@example.com", "b@example.com", "c@example.com", "d@example.com"]


def test_an_address_that_the_server_refuses_among_others_is_told(mailbox, call):
    mailbox.refusals["b@example.com"] = "550 no such user"

    result = call(email_send, to=["a@example.com", "b@example.com"], subject="s", text="t")

    assert (result["accepted"], result["refused"]) == (["a@example.com"], ["b@example.com"])


@pytest.mark.parametrize(
    ("answer", "code", "error_class"),
    [
        ("451 try later", "mail_deferred", ErrorClass.TRANSIENT),
        ("550 no such user \x1b[31m", "mail_refused", ErrorClass.PERMANENT),
    ],
)
def test_the_reply_code_decides_the_class(mailbox, call, answer, code, error_class):
    mailbox.refusals["a@example.com"] = answer
    of_recipient = refused(call, to="a@example.com", subject="s", text="t")
    mailbox.refusals.clear()
    mailbox.data_reply = answer
    of_message = refused(call, to="a@example.com", subject="s", text="t")

    for error in (of_recipient, of_message):
        assert (error.code, error.error_class) == (code, error_class)
        assert "\x1b" not in error.detail


def test_a_missing_server_is_transient(mailbox, call, settings):
    settings.EMAIL_PORT = 9

    error = refused(call, to="a@example.com", subject="s", text="t")

    assert (error.code, error.error_class) == ("connection_failed", ErrorClass.TRANSIENT)


def test_a_silent_server_is_a_time_out(mailbox, call, context, settings):
    hurried = changed(context, time_left=timedelta(seconds=0.2))

    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_PORT = silent.getsockname()[1]
        with pytest.raises(PipelineError) as caught:
            call(email_send, hurried, to="a@example.com", subject="s", text="t")

    assert (caught.value.code, caught.value.error_class) == ("timeout", ErrorClass.TIMEOUT)


@pytest.mark.parametrize(
    "given",
    [
        {"to": "a@example.com", "subject": "s\nBcc: evil@example.com"},
        {"to": "a@example.com", "subject": "s\rBcc: evil@example.com"},
        {"to": "a@example.com\nBcc: evil@example.com", "subject": "s"},
        {"to": "a@example.com", "from": "me@example.com\r\nX: y", "subject": "s"},
        {"to": "a@example.com", "cc": ["ok@example.com", "b@example.com\n"], "subject": "s"},
        {"to": "a@example.com, b@example.com", "subject": "s"},
        {"to": "nobody", "subject": "s"},
        {"to": [], "subject": "s"},
        {"to": "Me <me@exa mple.com>", "subject": "s"},
    ],
)
def test_injected_headers_and_what_is_no_address_are_refused_before_anything_is_sent(mailbox, call, given):
    error = refused(call, text="t", **given)

    assert (error.code, error.error_class) == ("bad_argument", ErrorClass.VALIDATION)
    assert mailbox.kept == []


def test_a_mail_without_text_and_html_breaks_the_schema():
    assert first_breach(INPUT_SCHEMA, {"to": "a@example.com", "subject": "s"}) is not None


def test_mail_can_be_written_to_a_folder(call, settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)

    result = call(email_send, to="a@example.com", subject="s", text="t")

    (written,) = tmp_path.iterdir()
    assert result["message_id"] in written.read_text()


def test_a_simulated_mail_is_checked_and_not_sent(mailbox, simulate):
    result = simulate(email_send, to=["a@example.com"], cc="b@example.com", subject="s", text="t")

    assert result["accepted"] == ["a@example.com", "b@example.com"]
    assert mailbox.kept == []
    with pytest.raises(PipelineError, match="bad_argument"):
        simulate(email_send, to="nobody", subject="s", text="t")
