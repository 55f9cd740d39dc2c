"""`llm.chat`: ask a language model, by any endpoint that speaks OpenAI's chat completions."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import orjson

from pipelines import conf
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import SideEffect, ToolContext, tool
from pipelines.tools.http_client import Outgoing, exchange

_ROLES = ["system", "user", "assistant"]
_LONGEST = 500_000  # characters of one message
INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "oneOf": [{"required": ["prompt"]}, {"required": ["messages"]}],
    "properties": {
        "prompt": {"type": "string", "minLength": 1, "maxLength": _LONGEST, "description": "What is asked."},
        "system": {"type": "string", "maxLength": _LONGEST, "description": "How to answer; with `prompt` only."},
        "messages": {
            "type": "array",
            "minItems": 1,
            "maxItems": 200,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "additionalProperties": False,
                "properties": {"role": {"enum": _ROLES}, "content": {"type": "string", "maxLength": _LONGEST}},
            },
            "description": "The whole talk, instead of `prompt`.",
        },
        "model": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Default: the operator's."},
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        "json": {"type": "boolean", "default": False, "description": "Ask for a JSON object, and give it as `json`."},
    },
    "dependentRequired": {"system": ["prompt"]},
}
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["text", "model", "finish_reason"],
    "properties": {
        "text": {"type": "string"},
        "json": {"description": "The object that was asked for, with `json: true`."},
        "model": {"type": "string"},
        "finish_reason": {"type": "string", "description": "`length` where the answer was cut off."},
        "usage": {"type": "object", "description": "Tokens, as the endpoint counts them."},
    },
}
EXAMPLES = (
    {
        "input": {"prompt": "Sum up in one line: ...", "max_tokens": 100},
        "output": {
            "text": "Two meetings, sun until four.",
            "model": "small",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 12, "completion_tokens": 8},
        },
    },
)


def simulate(_context: ToolContext, /, **given: Any) -> dict[str, Any]:
    """Nobody is asked; the answer says what would have been."""
    text = f"(simulated answer to {len(_messages(given))} messages)"
    answer = {"text": text, "model": given.get("model", "simulated"), "finish_reason": "stop", "usage": {}}
    return {**answer, "json": {}} if given.get("json") else answer


@tool(
    name="llm.chat",
    input_schema=INPUT_SCHEMA,
    output_schema=OUTPUT_SCHEMA,
    side_effect=SideEffect.IDEMPOTENT,
    simulate=simulate,
    examples=EXAMPLES,
)
async def llm_chat(context: ToolContext, **given: Any) -> dict[str, Any]:
    """Ask a language model and return its answer.

    The operator sets the endpoint (`ORDINAUT_LLM_URL`), its key and the model that is asked unless the step names one.
    A repeated attempt may answer otherwise; a finished step is never asked again.
    """
    endpoint = conf.llm_endpoint()
    model = given.get("model") or endpoint.model
    if not endpoint.url or not model:
        missing = "ORDINAUT_LLM_URL" if not endpoint.url else "ORDINAUT_LLM_MODEL"
        raise PipelineError(
            "not_configured", ErrorClass.PERMANENT, f"llm.chat: the operator has not set {missing} on this worker"
        )
    asked: dict[str, Any] = {"model": model, "messages": _messages(given)}
    asked |= {name: given[name] for name in ("temperature", "max_tokens") if name in given}
    if given.get("json"):
        asked["response_format"] = {"type": "json_object"}
    headers = httpx2.Headers(
        {
            "user-agent": "Ordinaut",
            "accept": "application/json",
            "content-type": "application/json",
            "idempotency-key": context.idempotency_key,
        }
    )
    if endpoint.key:
        headers["authorization"] = f"Bearer {endpoint.key}"
    answer = await exchange(
        Outgoing(
            method="POST",
            url=httpx2.URL(f"{endpoint.url.rstrip('/')}/chat/completions"),
            headers=headers,
            content=orjson.dumps(asked),
        ),
        seconds=context.time_left.total_seconds(),
        follows=False,
        is_expected=lambda status: status < 300,
    )
    return _read(answer.content, wants_json=bool(given.get("json")))


def _messages(given: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    if "messages" in given:
        return list(given["messages"])
    system = [{"role": "system", "content": given["system"]}] if given.get("system") else []
    return [*system, {"role": "user", "content": given["prompt"]}]


def _read(content: bytes, *, wants_json: bool) -> dict[str, Any]:
    try:
        answer = orjson.loads(content)
        choice = answer["choices"][0]
        text = choice["message"]["content"] or ""
        read: dict[str, Any] = {
            "text": str(text),
            "model": str(answer.get("model", "")),
            "finish_reason": str(choice.get("finish_reason") or "stop"),
            "usage": answer.get("usage") or {},
        }
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _bad_response("what was answered is no chat completion") from error
    if wants_json:
        try:
            read["json"] = orjson.loads(read["text"])
        except orjson.JSONDecodeError as error:
            why = "it was cut off" if read["finish_reason"] == "length" else f"{error.msg} at {error.pos}"
            raise _bad_response(f"a JSON object was asked for, and the answer is none: {why}") from error
    return read


def _bad_response(detail: str) -> PipelineError:
    # Asked again it may well answer otherwise.
    return PipelineError("bad_response", ErrorClass.TRANSIENT, f"llm.chat: {detail}")
