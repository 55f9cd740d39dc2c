"""`llm.chat` against a local server that speaks chat completions, well and badly."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from pytest_django import Settings

from pipelines.errors import PipelineError
from pipelines.tools.llm_chat import llm_chat
from tests.integration.tools.web import Web, reply

PATH = "/v1/chat/completions"


@pytest.fixture
def endpoint(web: Web, settings: Settings) -> Web:
    settings.ORDINAUT_LLM_URL = web.url("/v1")
    settings.ORDINAUT_LLM_KEY = "hunter2"
    settings.ORDINAUT_LLM_MODEL = "small"
    return web


def says(text: Any, **more: Any) -> Any:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
    answer = {
        "id": "c1",
        "object": "chat.completion",
        "model": "small-1",
        "choices": [choice],
        "usage": {"total_tokens": 9},
    }
    return reply(200, orjson.dumps(answer), content_type="application/json")


def failure(call: Callable[..., Any], **given: Any) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        call(llm_chat, **given)
    return caught.value


def test_a_prompt_is_asked_and_answered(endpoint: Web, call: Callable[..., Any]):
    endpoint.answers[PATH] = says("Sunny.")

    answer = call(llm_chat, prompt="How is it?", system="Be short.", temperature=0, max_tokens=10)

    assert answer == {"text": "Sunny.", "model": "small-1", "finish_reason": "stop", "usage": {"total_tokens": 9}}
    (asked,) = endpoint.received
    assert orjson.loads(asked.body) == {
        "model": "small",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "How is it?"}],
        "temperature": 0,
        "max_tokens": 10,
    }
    assert (asked.headers["authorization"], asked.headers["idempotency-key"][-5:]) == ("Bearer hunter2", ":send")


def test_a_whole_talk_and_another_model(endpoint: Web, call: Callable[..., Any]):
    endpoint.answers[PATH] = says("Yes.")
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]

    call(llm_chat, messages=talk, model="large")

    assert orjson.loads(endpoint.received[0].body) == {"model": "large", "messages": talk}


def test_a_json_object_is_asked_for_and_read(endpoint: Web, call: Callable[..., Any]):
    endpoint.answers[PATH] = says('{"rain": true}')

    answer = call(llm_chat, prompt="?", json=True)

    assert answer["json"] == {"rain": True}
    assert orjson.loads(endpoint.received[0].body)["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("answer", "given", "code", "error_class", "words"),
    [
        (reply(429, b"", retry_after="7"), {}, "http_429", "transient", ""),
        (reply(500), {}, "http_500", "transient", ""),
        (reply(401), {}, "http_401", "permanent", ""),
        (reply(302, b"", location="http://elsewhere.example"), {}, "http_302", "permanent", ""),
        (reply(200, b"<html>"), {}, "bad_response", "transient", "no chat completion"),
        (reply(200, b'{"choices": []}'), {}, "bad_response", "transient", "no chat completion"),
        (reply(200, b"[1]"), {}, "bad_response", "transient", "no chat completion"),
        (says("Sure! {"), {"json": True}, "bad_response", "transient", "the answer is none"),
        (says('{"a": ', finish_reason="length"), {"json": True}, "bad_response", "transient", "cut off"),
    ],
)
def test_failures_are_told_apart_and_keep_the_key(answer, given, code, error_class, words, endpoint: Web, call):
    endpoint.answers[PATH] = answer

    error = failure(call, prompt="?", **given)

    assert (error.code, error.error_class) == (code, error_class)
    assert words in error.detail
    assert "hunter2" not in str(error.as_dict())
    if code == "http_429":
        assert error.retry_after == 7


@pytest.mark.parametrize("unset", ["ORDINAUT_LLM_URL", "ORDINAUT_LLM_MODEL"])
def test_what_the_operator_has_not_set_is_named(unset, endpoint: Web, settings: Settings, call):
    setattr(settings, unset, "")

    error = failure(call, prompt="?")

    assert (error.code, unset in error.detail) == ("not_configured", True)
    assert endpoint.received == []


def test_a_private_endpoint_has_to_be_opened(endpoint: Web, settings: Settings, call):
    settings.ORDINAUT_HTTP_ALLOW = []

    assert failure(call, prompt="?").code == "address_refused"


def test_simulated_nobody_is_asked(simulate: Callable[..., Any]):
    answer = simulate(llm_chat, prompt="?", json=True)

    assert (answer["finish_reason"], answer["json"]) == ("stop", {})
