"""`email.send`: a message through Django's mail back end, to whichever server the operator configured."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.errors import ObsoleteHeaderDefect
from email.policy import default as strict_policy
from email.utils import formataddr, parseaddr
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend
from django.core.validators import validate_email
from django.utils.encoding import punycode

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import SideEffect, ToolContext, tool
from pipelines.tools.email_errors import delivery_error

logger = logging.getLogger(__name__)

_SHORTEST_TIMEOUT = 0.1
_HEADERS = strict_policy.header_factory
_ADDRESSES = {
    "anyOf": [
        {"type": "string", "minLength": 3},
        {"type": "array", "items": {"type": "string", "minLength": 3}, "maxItems": 100},
    ],
    "description": "One address, or a list of them; `Name <me@example.com>` is understood.",
}
INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["to", "subject"],
    "anyOf": [{"required": ["text"]}, {"required": ["html"]}],
    "additionalProperties": False,
    "properties": {
        "to": _ADDRESSES,
        "cc": _ADDRESSES,
        "bcc": _ADDRESSES,
        "subject": {"type": "string", "maxLength": 998},
        "text": {"type": "string"},
        "html": {"type": "string"},
        "from": {"type": "string", "minLength": 3, "description": "Default: the sender that the operator configured."},
    },
}
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["message_id", "accepted"],
    "properties": {
        "message_id": {"type": "string"},
        "accepted": {"type": "array", "items": {"type": "string"}, "description": "Addresses that the server took."},
        "refused": {"type": "array", "items": {"type": "string"}, "description": "Addresses that it did not take."},
    },
}
EXAMPLES = (
    {
        "input": {"to": "me@example.com", "subject": "Your day", "text": "Sunny, 22°C. You have 2 events."},
        "output": {
            "message_id": "<6f1ed002ab5595859014ebf0951522d9@example.com>",
            "accepted": ["me@example.com"],
            "refused": [],
        },
    },
)


@dataclass(slots=True)
class _Envelope:
    """Addresses as they stand in the headers; `plain` gives them without names, all of them."""

    to: list[str]
    cc: list[str] = field(default_factory=list)
    bcc: list[str] = field(default_factory=list)

    @property
    def plain(self) -> list[str]:
        return list(dict.fromkeys(parseaddr(address)[1] for address in [*self.to, *self.cc, *self.bcc]))


def simulate(context: ToolContext, **given: Any) -> dict[str, Any]:
    """What a server that takes every address would have answered; the input is checked as in earnest."""
    envelope = _envelope(given)
    sender = _sender(given.get("from"))
    return {"message_id": _message_id(context, sender), "accepted": envelope.plain, "refused": []}


@tool(
    name="email.send",
    input_schema=INPUT_SCHEMA,
    output_schema=OUTPUT_SCHEMA,
    side_effect=SideEffect.EFFECT,
    simulate=simulate,
    examples=EXAMPLES,
    # Returns by itself: every socket operation has the call's remaining time as its limit.
    trusted=True,
)
def email_send(context: ToolContext, *, subject: str, **given: Any) -> dict[str, Any]:
    """Send an e-mail as text, HTML or both.

    The Message-ID is derived from the idempotency key: a mail that was sent twice because a worker died in between
    carries the same one, and mailboxes show it once.
    """
    envelope = _envelope(given)
    sender = _sender(given.get("from"))
    if "\n" in subject or "\r" in subject:
        raise _bad_argument("subject", "holds a line break")
    message = _message(context, envelope, sender, subject, given.get("text"), given.get("html"))
    refused = _deliver(message, seconds=max(_SHORTEST_TIMEOUT, context.time_left.total_seconds()))
    return {
        "message_id": str(message.extra_headers["Message-ID"]),
        "accepted": [address for address in envelope.plain if address not in refused],
        "refused": sorted(refused),
    }


def _message(
    context: ToolContext, envelope: _Envelope, sender: str, subject: str, text: str | None, html: str | None
) -> EmailMessage:
    message = EmailMultiAlternatives(
        subject=subject,
        body=text if text is not None else html or "",
        from_email=sender,
        to=envelope.to,
        cc=envelope.cc,
        bcc=envelope.bcc,
        headers={
            "Message-ID": _message_id(context, sender),
            "X-Ordinaut-Run": context.run_id,
            # RFC 3834: keeps vacation notices and the like from answering.
            "Auto-Submitted": "auto-generated",
        },
    )
    if text is None:
        message.content_subtype = "html"
    elif html is not None:
        message.attach_alternative(html, "text/html")
    return message


def _message_id(context: ToolContext, sender: str) -> str:
    digest = hashlib.sha256(context.idempotency_key.encode()).hexdigest()[:32]
    return f"<{digest}@{parseaddr(sender)[1].rpartition('@')[2]}>"


def _deliver(message: EmailMessage, *, seconds: float) -> set[str]:
    """Hand the message to the server; the addresses that it refused while it took others. Raises PipelineError."""
    connection = get_connection(fail_silently=False, timeout=seconds)
    refused: set[str] = set()
    try:
        connection.open()
        _keep_refusals(connection, refused)
        connection.send_messages([message])
    except (SMTPException, OSError) as error:
        raise delivery_error(error) from error
    finally:
        _close(connection)
    return refused


def _keep_refusals(connection: BaseEmailBackend, refused: set[str]) -> None:
    """Have `refused` filled by the next send: Django drops smtplib's answer of which recipients were not taken."""
    if not isinstance(connection, SmtpBackend) or connection.connection is None:
        return
    send = connection.connection.sendmail

    def sendmail(*args: Any, **options: Any) -> dict[str, tuple[int, bytes]]:
        answer = send(*args, **options)
        refused.update(answer)
        return answer

    connection.connection.sendmail = sendmail  # type: ignore[method-assign]


def _close(connection: BaseEmailBackend) -> None:
    """Say goodbye. A server that fails at that has already answered for the message, so its failure is only logged."""
    try:
        connection.close()
    except (SMTPException, OSError):
        logger.warning("the mail server did not close the connection properly", exc_info=True)


def _envelope(given: Mapping[str, Any]) -> _Envelope:
    envelope = _Envelope(*(_addresses(name, given.get(name)) for name in ("to", "cc", "bcc")))
    if not envelope.plain:
        raise _bad_argument("to", "names nobody")
    return envelope


def _addresses(name: str, value: str | Sequence[str] | None) -> list[str]:
    if value is None:
        return []
    return [_address(name, address) for address in ([value] if isinstance(value, str) else value)]


def _sender(value: str | None) -> str:
    return _address("from", value) if value is not None else str(settings.DEFAULT_FROM_EMAIL)


def _address(name: str, text: str) -> str:
    """`text` where it is exactly one address. One string never holds several: a list says how many are meant."""
    if not text.isprintable():
        raise _bad_argument(name, "holds a line break or a control character")
    header = _HEADERS("to", text)
    if len(header.addresses) > 1:
        raise _bad_argument(name, "holds several addresses in one string; give a list")
    if not header.addresses or any(not isinstance(defect, ObsoleteHeaderDefect) for defect in header.defects):
        raise _bad_argument(name, "is not an e-mail address")
    found = header.addresses[0]
    try:
        validate_email(found.addr_spec)
        plain = f"{found.username}@{punycode(found.domain)}"
    except (ValidationError, UnicodeError):
        raise _bad_argument(name, "is not an e-mail address") from None
    return formataddr((found.display_name, plain))


def _bad_argument(name: str, detail: str) -> PipelineError:
    return PipelineError("bad_argument", ErrorClass.VALIDATION, f"email.send: {name} {detail}")
