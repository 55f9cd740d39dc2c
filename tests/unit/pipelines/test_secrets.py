"""Secrets in a run: the tool is given the value, and nothing else ever holds it."""

import asyncio
import base64
import html
import json
import logging
import re
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import httpx2
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from ordinaut_project.logging import logging_settings
from pipelines.document import validate
from pipelines.document.problems import Severity
from pipelines.engine.ports import Failed, Succeeded
from pipelines.errors import ErrorClass, PipelineError
from pipelines.secrets.forms import SHORTEST, folded
from pipelines.secrets.recognition import why_unrecognisable
from pipelines.secrets.redaction import Redaction, redact_log
from tests.unit.pipelines.world import CATALOG, World, document

VALUE = 's3cr3t/Wert+ä "quoted" <tag> 0123'
NAME = "weather"


def sealing(written: str, **fields: Any) -> dict[str, Any]:
    return {"id": "call", "uses": "sealing", "with": {"a": written}, **fields}


def world(behaviour: Any = None, value: str = VALUE, **fields: Any) -> World:
    made = World(secrets={NAME: value}, **fields)
    if behaviour is not None:
        made.behaviour = behaviour
    return made


def finish(made: World, *steps: Any, **fields: Any) -> Any:
    return asyncio.run(made.finish(document(*steps, **fields)))


def everything(made: World, outcome: Any) -> str:
    """All that a run leaves: its journal, its outcome."""
    return repr((made.entries, outcome)) + json.dumps(
        [[entry.input, entry.output, entry.error] for entry in made.entries], ensure_ascii=False
    )


def test_the_tool_is_given_the_value_and_the_journal_a_word_for_it():
    made = world(lambda call: {"ok": True})

    outcome = finish(made, sealing("Bearer ${secrets.weather}"))

    assert isinstance(outcome, Succeeded)
    assert made.calls[0].input == {"a": f"Bearer {VALUE}"}
    assert [entry.input for entry in made.entries] == [{"a": "Bearer [secret weather]"}] * len(made.entries)
    assert VALUE not in repr(made.calls[0])


# Everything that an expression can do to a value: the word stands in its place, whatever comes of it.
MADE_OF_IT = [
    "${secrets.weather}",
    "${upper(secrets.weather)}",
    "${reverse(secrets.weather)}",
    "${base64_encode(secrets.weather)}",
    "${sha256(secrets.weather)}",
    "${url_encode(secrets.weather)}",
    "${join(':', ['user', secrets.weather])}",
    "${to_string({k: secrets.weather})}",
    "${substring(secrets.weather, 0, 12)}",
    "${split(secrets.weather, '/')[1]}",
    "${secrets.weather && 'it is set'}",
    "before ${secrets.weather} after ${upper(secrets.weather)}",
]


@pytest.mark.parametrize("written", MADE_OF_IT)
def test_what_expressions_make_of_a_secret_is_in_the_call_alone_even_if_the_tool_echoes_it(written: str):
    made = world(lambda call: {"echo": dict(call.input), "again": [call.input["a"]]})

    outcome = finish(
        made, sealing(written), {"id": "then", "set": {"copy": "${steps.call}"}}, outputs={"o": "${steps}"}
    )

    assert isinstance(outcome, Succeeded), outcome
    (sent,) = [call.input["a"] for call in made.calls]
    left = everything(made, outcome)
    assert "[secret weather]" in left
    for piece in (sent, VALUE):
        assert piece not in left


# What it is said at run time, and whether the text of the expression tells it at save.
UNRECOGNISABLE = [
    ("${substring(secrets.weather, 0, 7)}", "secret_too_short", True),
    ("Bearer ${substring(secrets.weather, -7)} and more", "secret_too_short", True),
    ("${substring(secrets.weather, 0, length(params.seven))}", "secret_too_short", False),
    ("${regex_extract(secrets.weather, '^...')}", "secret_too_short", False),
    ("${trim(pad(substring(secrets.weather, 0, 3), 20))}", "secret_too_short", False),
    ("${pad(substring(secrets.weather, 0, 3), 20)}", "secret_too_short", False),
    ("${if_else(starts_with(secrets.weather, 's'), 'YES', 'NO')}", "secret_too_short", True),
    ("${if_else(starts_with(secrets.weather, 's'), 'YES', params.long)}", "secret_too_short", False),
    ("${secrets.weather && 'set'}", "secret_too_short", True),
    ("${starts_with(secrets.weather, 's')}", "secret_not_text", True),
    ("${secrets.weather == 'a'}", "secret_not_text", True),
    ("it is ${!(secrets.weather)}", "secret_not_text", True),
    ("${length(secrets.weather)}", "secret_not_text", True),
    ("${[secrets.weather, substring(secrets.weather, 0, 7)]}", "secret_not_text", True),
    ("${{a: secrets.weather}}", "secret_not_text", True),
    ("${split(secrets.weather, '/')}", "secret_not_text", True),
    ("${split(secrets.weather, '/')[0]}", "secret_too_short", False),
    ("${default(secrets.weather.a, null)}", "secret_not_text", False),
    ("${secrets.weather | length(@)}", "secret_not_text", True),
]
PARAMS = {"seven": "1234567", "long": "a text that is long enough"}


@pytest.mark.parametrize(("written", "code", "is_known"), UNRECOGNISABLE)
def test_what_could_not_be_recognised_is_refused_before_the_tool_is_called(written: str, code: str, is_known: bool):
    pipeline = document({"id": "call", "uses": "sealing", "with": {"inside": [written]}}, params=PARAMS)

    found = [problem for problem in validate(pipeline, catalog=CATALOG) if problem.severity is Severity.ERROR]

    assert [(problem.code, problem.pointer) for problem in found] == (
        [(code, "/steps/0/with/inside/0")] if is_known else []
    )
    if is_known:
        assert found[0].hint
        return
    made = world()
    outcome = asyncio.run(made.finish(pipeline))
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.pointer) == (code, "/steps/0/with/inside/0")
    assert outcome.error.error_class is ErrorClass.EXPRESSION
    assert made.calls == []
    assert VALUE[:3] not in everything(made, outcome)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text(min_size=SHORTEST))))
def test_what_may_be_given_to_a_tool_is_always_found_again(value: Any):
    if why_unrecognisable(value) is None:
        assert Redaction({NAME: value}).text(value.strip()) == "[secret weather]"


def test_pieces_cannot_be_put_together_in_the_outputs():
    pieces = [(0, 9), (9, 18), (18, 27), (27, 36)]
    steps = [
        {"id": f"a{n}", "uses": "sealing", "with": {"a": f"${{substring(secrets.weather, {begin}, {end})}}"}}
        for n, (begin, end) in enumerate(pieces)
    ]
    made = world(lambda call: {"echo": call.input["a"]}, value="0123456789abcdefghijklmnopqrstuvwxyz")

    outcome = finish(made, *steps, outputs={"s": "${join('', [steps.a0.echo, steps.a1.echo, steps.a2.echo])}"})

    assert isinstance(outcome, Succeeded)
    assert outcome.outputs == {"s": "[secret weather]" * 3}


ECHOES: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "in a text": lambda text: f"in the middle of {text} of it",
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "basic": lambda text: base64.urlsafe_b64encode(b"user:" + text.encode()).decode(),
    "base64 in the middle": lambda text: base64.b64encode(b"xy" + text.encode() + b"z").decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "path": quote,
    "query": quote_plus,
    "small escapes": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "html": html.escape,
    "json": json.dumps,
    "utf-8 json": lambda text: json.dumps(text, ensure_ascii=False),
    "repr": repr,
    "lower": str.lower,
    "UPPER": str.upper,
    "casefold": str.casefold,
    "sWAPPED": str.swapcase,
    "lower query": lambda text: quote_plus(text.lower()),
    "UPPER path": lambda text: quote(text.upper()),
    "blanks stripped": lambda text: f"({text.strip()})",
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("way", ["result", "key", "error", "cause"])
def test_what_comes_back_is_searched_for_the_value_and_its_encodings(echo: Any, way: str):
    told = echo(VALUE)
    step: dict[str, Any] = sealing("${secrets.weather}")

    def behave(_call: Any) -> Any:
        if way == "result":
            return [{"a": told}]
        if way == "key":
            return {told: 1}
        cause = {"detail": told} if way == "cause" else None
        detail = "refused" if way == "cause" else f"refused: {told}"
        raise PipelineError("http_401", ErrorClass.PERMANENT, detail, cause=cause)

    made = world(behave)
    outcome = finish(made, step)

    left = everything(made, outcome)
    assert "[secret weather]" in left
    assert told not in left
    assert VALUE not in left


HOSTS = [
    ("MySecretValue123", "https://${secrets.weather}.invalid/x"),
    ("MySecretValue123", "https://user:word@a-${upper(secrets.weather)}-b.invalid:8443/x?y"),
    ("GeheimerSchlüssel", "https://${secrets.weather}.invalid/x"),
    ("GeheimerSchlüssel", "https://a-${secrets.weather}-b.invalid/x"),
    ("GeheimerSchlüssel", "https://${reverse(secrets.weather)}.invalid/x"),
    ("Тайный。Ключ", "https://${secrets.weather}.invalid/x"),
    ("GeheimerSchlüssel", "${join('', ['https://user:word@a-', secrets.weather, '.invalid:8443/x?y'])}"),
]


@pytest.mark.parametrize(("value", "written"), HOSTS)
def test_a_name_that_is_told_as_the_resolver_gets_it_is_found(value: str, written: str):
    names: list[str] = []

    def resolve(call: Any) -> Any:
        url = httpx2.URL(call.input["a"])
        # What the value has become, without the literal `.invalid` and the like.
        names.extend({url.host.removesuffix(".invalid"), url.raw_host.decode().removesuffix(".invalid")})
        raise PipelineError("name_not_resolved", ErrorClass.PERMANENT, f"{url.host}, {url.raw_host.decode()}")

    made = world(resolve, value=value)
    outcome = finish(made, sealing(written))

    left = everything(made, outcome)
    assert "[secret weather]" in left
    assert names
    for name in [*names, folded(value)]:
        assert name not in left.lower()


def test_folding_keeps_every_position_and_depends_on_no_neighbour():
    every = "".join(map(chr, range(sys.maxunicode + 1)))

    assert folded(every) == "".join(map(folded, every))
    assert len(folded(every)) == len(every)
    assert folded("ΑΣ ΣΑ") == "".join(map(folded, "ΑΣ ΣΑ"))


def test_a_large_text_is_searched_in_time_that_grows_with_its_length():
    redaction = Redaction({NAME: "a" * 5_000 + "B"})

    assert redaction.text("A" * 4_000_000) == "A" * 4_000_000
    assert redaction.text("ä" + "A" * 1_000_000 + "b") == "ä" + "A" * 995_000 + "[secret weather]"


def test_a_failure_of_what_is_computed_from_a_secret_tells_where_and_not_what():
    made = world(value="no number at all")

    outcome = finish(made, sealing("${to_string(from_json(secrets.weather))}"))

    assert isinstance(outcome, Failed)
    assert outcome.error.pointer == "/steps/0/with/a"
    assert "no number" not in everything(made, outcome)
    assert made.calls == []


def test_an_input_that_the_tool_does_not_take_tells_where_and_not_what():
    made = world(value="[begins wrong")

    outcome = finish(made, sealing("${secrets.weather}"))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.pointer) == ("bad_argument", "/steps/0/with/a")
    assert "begins" not in everything(made, outcome)


def test_a_secret_that_is_not_there_fails_the_step_before_anything_is_sent():
    made = world()

    async def refuse(*_: Any, **__: Any) -> Any:
        raise PipelineError("unknown_secret", ErrorClass.PERMANENT, "there is no secret")

    made.read = refuse  # type: ignore[method-assign]
    outcome = finish(made, sealing("${secrets.weather}"))

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "unknown_secret"
    assert made.calls == []
    assert [entry.state for entry in made.entries] == ["failed"]


def test_a_simulated_run_reads_no_secret():
    made = World(simulated=True)  # has none, so reading one would raise KeyError

    outcome = finish(made, sealing("${secrets.weather}", simulate={"output": {"ok": 1}}))

    assert isinstance(outcome, Succeeded)
    assert made.entries[-1].input == {"a": "[secret weather]"}


def test_a_retry_reads_the_secret_again_so_a_new_value_counts():
    made = world()

    def behave(call: Any) -> Any:
        if made.secrets[NAME] == VALUE:
            made.secrets[NAME] = "the next value"
            raise PipelineError("http_503", ErrorClass.TRANSIENT, "later")
        return {}

    made.behaviour = behave
    outcome = finish(made, sealing("${secrets.weather}", retry={"max_attempts": 2}))

    assert isinstance(outcome, Succeeded)
    assert [call.input["a"] for call in made.calls] == [VALUE, "the next value"]


def test_what_is_logged_during_the_call_has_none_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    # Loggers that have been used keep the processors of then: with others, later tests would capture none of theirs.
    monkeypatch.setattr(structlog, "configure", lambda **_: None)

    def behave(call: Any) -> Any:
        try:
            raise ValueError(f"cannot use {call.input['a']}")
        except ValueError:
            logging.getLogger("tests.secrets").exception("failed with %s", call.input, extra={"sent": call.input})
        return {}

    root, level, handlers = logging.getLogger(), logging.getLogger().level, logging.getLogger().handlers[:]
    try:
        logging_settings(level="INFO", form="json")
        outcome = finish(world(behave), sealing("${secrets.weather}"))
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)

    logged = capsys.readouterr().err
    assert isinstance(outcome, Succeeded)
    assert "cannot use [secret weather]" in logged
    assert "Wert" not in logged


def test_outside_of_a_call_logs_are_left_alone():
    event = {"event": VALUE}

    assert redact_log(None, "info", event) is event
    with Redaction({NAME: VALUE}).active():
        assert redact_log(None, "info", event) == {"event": "[secret weather]"}


def test_the_hosts_of_all_secrets_in_the_input_bound_where_it_may_go():
    made = world(lambda _: {}, hosts=frozenset({"api.example.com"}))

    finish(made, sealing("${secrets.weather}"))

    assert made.calls[0].hosts == frozenset({"api.example.com"})


@given(st.text(min_size=SHORTEST, max_size=60), st.text(max_size=5), st.text(max_size=5))
def test_no_text_with_the_value_in_it_survives(value: str, before: str, after: str):
    redaction = Redaction({NAME: value})

    clean = redaction.text(before + value + after)

    assert value not in clean.replace("[secret weather]", "\0")


@given(st.text(min_size=SHORTEST, max_size=60), st.text(max_size=5), st.text(max_size=5))
def test_no_text_with_the_value_in_other_case_survives(value: str, before: str, after: str):
    redaction = Redaction({NAME: value})

    for changed in (value.lower(), value.upper(), value.casefold()):
        clean = redaction.text(before + changed + after)
        assert changed not in clean.replace("[secret weather]", "\0")


@given(st.binary(max_size=7), st.text(min_size=SHORTEST, max_size=40), st.binary(max_size=7))
def test_the_value_is_found_in_base64_of_anything_around_it(before: bytes, value: str, after: bytes):
    raw = value.encode("utf-8", "surrogatepass")
    encoded = base64.b64encode(before + raw + after).decode()

    clean = Redaction({NAME: value}).text(encoded)

    assert "[secret weather]" in clean
