"""Simulation: the same engine in virtual time; its answer is a contract, so whole answers are compared."""

from datetime import timedelta

import pytest

from pipelines.document import DocumentInvalid
from pipelines.errors import ErrorClass, PipelineError
from pipelines.simulation import ended_as_wanted, simulate
from tests.unit.pipelines.world import CATALOG, START, FakeCatalog, document, spec


def simulated(*steps, catalog=CATALOG, params=None, event=None, cancel_at=None, **fields):
    written = document(*steps, **fields)
    return simulate(written, params=params, event=event, cancel_at=cancel_at, catalog=catalog, now=START)


def told(answer):
    return [(step["path"], step["attempt"], step["state"], step["at"]) for step in answer["steps"]]


def test_the_answer_has_the_form_of_the_contract():
    answer = simulated(
        {"id": "a", "uses": "echo", "with": {"n": "${params.n}"}, "simulate": {"output": {"n": 5}}},
        params={"n": 4},
        outputs={"n": "${steps.a.n}"},
        **{"assert": ["outputs.n == 5", "outputs.n == 6", "upper(outputs)"]},
    )

    assert answer == {
        "state": "succeeded",
        "outputs": {"n": 5},
        "error": None,
        "steps": [
            {
                "path": "a",
                "kind": "tool",
                "uses": "echo",
                "state": "succeeded",
                "attempt": 1,
                "input": {"n": 4},
                "output": {"n": 5},
                "error": None,
                "simulated": True,
                "at": "PT0S",
            }
        ],
        "asserts": [
            {"expression": "outputs.n == 5", "ok": True},
            {"expression": "outputs.n == 6", "ok": False},
            {
                "expression": "upper(outputs)",
                "ok": False,
                "detail": "upper() takes string as its first argument, not object",
            },
        ],
    }
    assert not ended_as_wanted(answer)


def test_fixtures_answer_attempt_by_attempt_and_backoffs_pass_in_virtual_time():
    answer = simulated(
        {
            "id": "a",
            "uses": "echo",
            "retry": {"max_attempts": 4, "initial": "PT1S", "backoff": "exponential"},
            "simulate": [{"error": {"code": "busy", "class": "transient"}, "delay": "PT0.5S"}] * 3
            + [{"output": {"ok": True}}],
        },
        {"id": "b", "set": {"x": 1}},
    )

    assert told(answer) == [
        ("a", 1, "failed", "PT0.5S"),
        ("a", 2, "failed", "PT2S"),
        ("a", 3, "failed", "PT4.5S"),
        ("a", 4, "succeeded", "PT8.5S"),
        ("b", 1, "succeeded", "PT8.5S"),
    ]
    assert answer["steps"][0]["error"] == {
        "code": "busy",
        "class": "transient",
        "detail": "busy",
        "step": "a",
        "attempt": 1,
        "retryable": True,
        "cause": None,
    }


def test_the_last_fixture_repeats():
    answer = simulated(
        {
            "uses": "echo",
            "retry": {"max_attempts": 3, "initial": "PT1S", "backoff": "fixed"},
            "simulate": [{"output": 1, "delay": "PT2M"}, {"error": {"code": "e", "class": "transient"}}],
            "timeout": "PT1M",
        }
    )

    assert [step["error"]["code"] for step in answer["steps"]] == ["timeout", "e", "e"]


def test_a_fixture_later_than_its_timeout_is_a_timeout():
    answer = simulated({"id": "a", "uses": "echo", "timeout": "PT10S", "simulate": {"output": 1, "delay": "PT1H"}})

    assert told(answer) == [("a", 1, "failed", "PT10S")]
    assert (answer["error"]["code"], answer["error"]["class"]) == ("timeout", "timeout")


def test_a_tolerated_failure_is_marked():
    answer = simulated(
        {"id": "a", "uses": "echo", "continue_on_error": True, "simulate": {"error": {"code": "e"}}},
        outputs={"code": "${steps.a.error.code}"},
    )

    assert (answer["state"], answer["outputs"], answer["steps"][0]["tolerated"]) == ("succeeded", {"code": "e"}, True)


def test_any_kind_can_have_a_fixture():
    answer = simulated({"id": "a", "set": {"x": 1}, "simulate": {"error": {"code": "no", "class": "rejected"}}})

    assert (answer["state"], answer["error"]["code"], answer["steps"][0]["simulated"]) == ("failed", "no", True)


def test_a_fixture_is_chosen_by_its_condition_first():
    step = {
        "id": "a",
        "uses": "echo",
        "simulate": [{"when": "params.n > 1", "output": "large"}, {"output": "${params.n}"}],
    }

    assert [simulated(step, params={"n": n})["steps"][0]["output"] for n in (1, 2)] == [1, "large"]


def test_sources_of_results_in_their_order():
    async def own(context, **given):
        return {"from": "simulate", "at": context.now.isoformat()}

    examples = ({"input": {}, "output": "first"}, {"input": {"n": 2}, "output": "second"})
    schema = {"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "integer", "minimum": 3}}}
    catalog = FakeCatalog(
        spec("own", simulate=own, examples=examples),
        spec("shown", examples=examples, output_schema=schema),
        spec("described", output_schema=schema),
    )

    answer = simulated(
        {"uses": "own", "simulate": {"output": "fixture"}},
        {"uses": "own"},
        {"uses": "shown", "with": {"n": 2}},
        {"uses": "shown", "with": {"n": 3}},
        {"uses": "described"},
        catalog=catalog,
    )

    assert [step["output"] for step in answer["steps"]] == [
        "fixture",
        {"from": "simulate", "at": START.isoformat()},
        "second",
        "first",
        {"a": 3, "b": None},
    ]


def test_a_simulation_that_raises_is_the_steps_failure():
    def broken(context, **given):
        raise RuntimeError("oops")

    def refuses(context, **given):
        raise PipelineError("no", ErrorClass.REJECTED, "not this")

    catalog = FakeCatalog(spec("broken", simulate=broken), spec("refuses", simulate=refuses))

    assert simulated({"uses": "broken"}, catalog=catalog)["error"]["code"] == "simulation_failed"
    assert simulated({"uses": "refuses"}, catalog=catalog)["error"]["code"] == "no"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("a\ud800b\0"), "broken, simulated, raised RuntimeError: a\ufffdb\ufffd"),
        (PipelineError("no", ErrorClass.REJECTED, "a\0b"), "a\ufffdb"),
        (PipelineError("no", ErrorClass.REJECTED, "a" * 10_001), "a" * 10_000 + "…"),
    ],
    ids=["other", "pipeline", "long"],
)
def test_what_a_simulation_raises_has_words_that_can_be_stored(error, told):
    def broken(context, **given):
        raise error

    answer = simulated({"uses": "broken"}, catalog=FakeCatalog(spec("broken", simulate=broken)))

    assert answer["error"]["detail"] == told


def test_a_pure_tool_can_be_called_for_real():
    catalog = FakeCatalog(spec("double", call=lambda context, n: {"n": 2 * n}))

    answer = simulated({"uses": "double", "with": {"n": 4}, "simulate": "real"}, catalog=catalog)

    assert (answer["steps"][0]["output"], answer["steps"][0]["simulated"]) == ({"n": 8}, False)


@pytest.mark.parametrize(
    ("cancel_at", "state", "steps"),
    [
        (0, "canceled", []),
        (2, "canceled", [("a", 1, "canceled", "PT2S")]),
        (5, "canceled", [("a", 1, "succeeded", "PT4S"), ("b", 1, "failed", "PT4S")]),
        (60, "succeeded", [("a", 1, "succeeded", "PT4S"), ("b", 1, "failed", "PT4S"), ("b", 2, "succeeded", "PT14S")]),
    ],
)
def test_a_run_can_be_canceled_at_an_instant(cancel_at, state, steps):
    answer = simulated(
        {"id": "a", "uses": "echo", "simulate": {"output": 1, "delay": "PT4S"}},
        {
            "id": "b",
            "uses": "echo",
            "retry": {"max_attempts": 2, "initial": "PT10S"},
            "simulate": [{"error": {"code": "e", "class": "transient"}}, {"output": 2}],
        },
        cancel_at=timedelta(seconds=cancel_at),
    )

    assert (answer["state"], told(answer)) == (state, steps)
    assert ended_as_wanted(answer, cancel_at=timedelta(seconds=cancel_at))


def test_the_event_and_the_run_are_seen():
    answer = simulated(
        {"set": {"n": "${event.payload.n}", "s": "${run.simulated}", "at": "${now}", "t": "${run.trigger}"}},
        event={"id": "1", "topic": "t", "payload": {"n": 3}, "at": "2025-01-06T06:00:00Z"},
    )

    assert answer["steps"][0]["output"] == {"n": 3, "s": True, "at": "2025-01-06T06:00:00Z", "t": "event"}


def test_params_against_the_schema_make_the_document_invalid():
    with pytest.raises(DocumentInvalid) as caught:
        simulated({"set": {}}, params={"n": "x"}, params_schema={"properties": {"n": {"type": "integer"}}})

    assert [problem.pointer for problem in caught.value.problems] == ["/params/n"]


def test_the_same_document_gives_the_same_trace():
    step = {
        "uses": "echo",
        "retry": {"max_attempts": 5, "initial": "PT10S", "jitter": True},
        "simulate": {"error": {"code": "e", "class": "transient"}},
    }

    assert simulated(step) == simulated(step)


def test_the_conditional_text_of_the_morning_briefing():
    """Acceptance case 24, the variant."""
    tools = FakeCatalog(spec("calendar"), spec("weather"), spec("notify"))
    text = (
        "Weather: ${steps.forecast.summary} (${steps.forecast.temp}°C). You have ${length(steps.events.events)} events"
    )

    answer = simulated(
        {"id": "events", "uses": "calendar", "simulate": {"output": {"events": [{"title": "a"}, {"title": "b"}]}}},
        {"id": "forecast", "uses": "weather", "simulate": {"output": {"summary": "Sunny", "temp": 22.0}}},
        {"id": "tell", "uses": "notify", "with": {"text": text}},
        catalog=tools,
    )

    assert answer["steps"][2]["input"] == {"text": "Weather: Sunny (22°C). You have 2 events"}


def test_the_five_steps_of_the_morning_briefing():
    """Acceptance case 24."""
    tools = FakeCatalog(*map(spec, ("calendar", "weather", "unread", "llm", "notify")))

    answer = simulated(
        {"uses": "calendar", "save_as": "events", "with": {"start": "${now}", "end": "${date_add(now, 'P1D')}"}},
        {"uses": "weather", "save_as": "weather", "with": {"city": "${params.city}"}, "simulate": {"output": {"t": 1}}},
        {"uses": "unread", "save_as": "inbox", "with": {"count": 5}},
        {
            "uses": "llm",
            "save_as": "summary",
            "with": {
                "instruction": "sum up",
                "calendar": "${steps.events}",
                "weather": "${steps.weather}",
                "emails": "${steps.inbox}",
            },
            "simulate": {"output": {"text": "A calm day."}},
        },
        {"uses": "notify", "with": {"chat_id": 7, "text": "${steps.summary.text}"}},
        catalog=tools,
        params={"city": "Chisinau"},
    )

    assert answer["state"] == "succeeded"
    assert answer["steps"][0]["input"] == {"start": "2025-01-06T06:00:00Z", "end": "2025-01-07T06:00:00Z"}
    assert answer["steps"][3]["input"]["weather"] == {"t": 1}
    assert answer["steps"][4]["input"] == {"chat_id": 7, "text": "A calm day."}


WATCHED = document(
    {"id": "big", "if": "params.n > `3`", "set": {"a": "${params.n}", "b": "${long}".replace("long", "params.long")}},
    {"id": "no", "if": "params.n > `30`", "set": {}},
    {
        "id": "each",
        "for_each": "${params.names}",
        "concurrency": 2,
        "steps": [{"id": "up", "set": {"v": "${upper(item)}"}}],
    },
    {"id": "wrong", "continue_on_error": True, "set": {"a": "x ${params.missing.deep}", "b": "${to_number(params.n)}"}},
    params={"n": 5, "names": ["a", "b"], "long": "l" * 3000, "missing": {}},
    outputs={"last": "${steps.each[1].v}"},
)


def test_each_step_shows_what_it_evaluated_and_what_it_gave_where_that_is_asked_for():
    answer = simulate(WATCHED, catalog=CATALOG, expressions=True)

    seen = {step["path"]: step["expressions"] for step in answer["steps"]}
    assert seen["big"][:2] == [
        {"expression": "params.n > `3`", "value": True},
        {"expression": "params.n", "value": 5},
    ]
    assert len(seen["big"][2]["value"]) < 1100
    assert seen["no"] == [{"expression": "params.n > `30`", "value": False}]
    assert seen["each[0].up"] == [{"expression": "upper(item)", "value": "A"}]
    assert seen["each[1].up"] == [{"expression": "upper(item)", "value": "B"}]
    assert seen["each"] == [{"expression": "params.names", "value": ["a", "b"]}]
    assert seen["wrong"][0] == {"expression": "params.missing.deep", "value": None}
    assert answer["expressions"] == [{"expression": "steps.each[1].v", "value": "B"}]


def test_an_expression_that_fails_shows_its_error():
    answer = simulate(document({"id": "s", "set": {"a": "${upper(params)}"}}), catalog=CATALOG, expressions=True)

    assert answer["steps"][0]["expressions"] == [{"expression": "upper(params)", "error": answer["error"]["code"]}]


def test_unasked_the_answer_has_no_expressions():
    answer = simulate(WATCHED, catalog=CATALOG)

    assert "expressions" not in answer
    assert all("expressions" not in step for step in answer["steps"])


def test_a_step_that_evaluates_without_end_in_sight_shows_the_first_and_counts_the_rest():
    values = {f"k{number}": f"${{params.n}} {number}" for number in range(250)}

    answer = simulate(document({"id": "s", "set": values}, params={"n": 1}), catalog=CATALOG, expressions=True)

    assert len(answer["steps"][0]["expressions"]) == 201
    assert answer["steps"][0]["expressions"][-1] == {"omitted": 50}
