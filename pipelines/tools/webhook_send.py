"""`webhook.send`: tell another system what has happened, signed as Standard Webhooks say (<https://www.standardwebhooks.com>)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx2
import orjson

from pipelines import conf
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import SideEffect, ToolContext, tool
from pipelines.tools.http_client import Outgoing, exchange, web_address

INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url", "type", "data"],
    "properties": {
        "url": {"type": "string", "maxLength": 4096, "description": "Where to. Its host has to have a secret."},
        "type": {
            "type": "string",
            "pattern": r"^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$",
            "maxLength": 200,
            "description": "What has happened, such as invoice.paid.",
        },
        "data": {"type": "object", "description": "What there is to know of it."},
    },
}
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["id", "status"],
    "properties": {
        "id": {"type": "string", "description": "The webhook-id, the same in every attempt."},
        "status": {"type": "integer"},
    },
}
EXAMPLES = (
    {
        "input": {"url": "https://hooks.example.com/in", "type": "invoice.paid", "data": {"number": 7}},
        "output": {"id": "msg_5f0c7c3ba1b94f9f0f4e6f5f36c5d0aa", "status": 204},
    },
)


def simulate(context: ToolContext, /, **_given: Any) -> dict[str, Any]:
    """Nothing is sent; the answer is a receiver's that took it."""
    return {"id": _message_id(context), "status": 204}


@tool(
    name="webhook.send",
    input_schema=INPUT_SCHEMA,
    output_schema=OUTPUT_SCHEMA,
    side_effect=SideEffect.IDEMPOTENT,
    simulate=simulate,
    examples=EXAMPLES,
)
async def webhook_send(context: ToolContext, *, url: str, type: str, data: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002  # the field's name in the standard
    """Send a signed webhook and return its id and the receiver's status.

    The body is `{"type", "timestamp", "data"}`, the timestamp the run's instant, so that every attempt sends the same
    bytes under the same `webhook-id`, and a receiver can tell repeats. It is signed with the secrets that the operator
    gave for the host (`ORDINAUT_WEBHOOK_SECRETS`); without one nothing is sent. Redirects are not followed: a signature
    is for one receiver.
    """
    try:
        address = web_address(url)
    except ValueError as error:
        raise PipelineError("bad_argument", ErrorClass.VALIDATION, f"webhook.send: {error}") from None
    secrets = conf.webhook_secrets().of(address.host, _port(address))
    if not secrets:
        raise PipelineError(
            "not_configured",
            ErrorClass.PERMANENT,
            f"webhook.send: ORDINAUT_WEBHOOK_SECRETS of this worker has no secret for {address.host}",
        )
    message_id, sent_at = _message_id(context), datetime.now(UTC)
    body = orjson.dumps({"type": type, "timestamp": context.now, "data": data}, option=orjson.OPT_UTC_Z)
    signatures = [secret.sign(msg_id=message_id, timestamp=sent_at, data=body.decode()) for secret in secrets]
    answer = await exchange(
        Outgoing(
            method="POST",
            url=address,
            headers=httpx2.Headers(
                {
                    "user-agent": "Ordinaut",
                    "accept": "*/*",
                    "content-type": "application/json",
                    "webhook-id": message_id,
                    "webhook-timestamp": str(int(sent_at.timestamp())),
                    "webhook-signature": " ".join(signatures),
                }
            ),
            content=body,
        ),
        seconds=context.time_left.total_seconds(),
        follows=False,
        is_expected=lambda status: status < 300,
    )
    return {"id": message_id, "status": answer.status}


def _message_id(context: ToolContext) -> str:
    """Of letters and digits only: in what is signed, a full stop ends the id."""
    return f"msg_{sha256(context.idempotency_key.encode()).hexdigest()[:32]}"


def _port(address: httpx2.URL) -> int:
    return address.port or (443 if address.scheme == "https" else 80)
