"""A run that is recorded as fixtures goes again as it went."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.document import validate
from pipelines.engine.ports import StepEntry, StepState
from pipelines.simulation import simulate, simulator
from pipelines.simulation.recording import record_fixtures
from pipelines.simulation.trace import Trace
from tests.unit.pipelines.scenarios.documents import scenarios
from tests.unit.pipelines.world import CATALOG

# Loops inside of loops are told of in notes; a canceled run has not answered everything.
ALL = {name: each.document for name, each in scenarios() if each.cancel_at is None}


def told(answer: dict[str, Any]) -> tuple[Any, ...]:
    error = answer["error"] and (answer["error"]["code"], answer["error"]["class"])
    steps = [(step["path"], step["attempt"], step["state"], step["at"]) for step in answer["steps"]]
    return answer["state"], answer["outputs"], error, steps


@pytest.mark.parametrize("name", ALL)
def test_what_was_recorded_goes_as_the_run_went(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = ALL[name]
    traces: list[Trace] = []

    def kept(start: datetime) -> Trace:
        traces.append(Trace(start))
        return traces[-1]

    monkeypatch.setattr(simulator, "Trace", kept)
    went = simulate(document, catalog=CATALOG)

    recording = record_fixtures(document, traces[0].entries, catalog=CATALOG)

    assert validate(recording.document, catalog=CATALOG) == []
    assert told(simulate(recording.document, catalog=CATALOG)) == told(went)


def entry(path: str, output: Any = None, *, attempt: int = 1, error: Any = None, seconds: float = 0) -> StepEntry:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    state = StepState.SUCCEEDED if error is None else StepState.FAILED
    ended = at + timedelta(seconds=seconds)
    return StepEntry(
        path=path,
        kind="tool",
        state=state,
        attempt=attempt,
        output=output,
        error=error,
        started_at=at,
        finished_at=ended,
    )


def recorded(document: Any, *entries: StepEntry) -> Any:
    return record_fixtures(document, entries, catalog=CATALOG)


CALL = {"id": "call", "uses": "echo", "with": {"value": 1}}


def test_each_attempt_has_its_fixture_with_what_it_took() -> None:
    error = {"code": "http_503", "class": "transient", "detail": "HTTP ${status}"}
    document = {"version": 1, "steps": [{**CALL, "retry": {"max_attempts": 2}}]}

    found = recorded(
        document, entry("call", attempt=1, error=error, seconds=2.04), entry("call", {"a": "${x}"}, attempt=2)
    )

    assert found.document["steps"][0]["simulate"] == [
        {"error": {"code": "http_503", "class": "transient", "detail": "HTTP $${status}"}, "delay": "PT2S"},
        {"output": {"a": "$${x}"}},
    ]
    assert simulate(found.document, catalog=CATALOG)["steps"][-1]["output"] == {"a": "${x}"}


def test_iterations_have_fixtures_by_index_and_one_where_all_are_alike() -> None:
    loop = {"id": "each", "for_each": "${[1, 2, 3]}", "steps": [CALL]}
    document = {"version": 1, "steps": [loop], "outputs": {"it": "${steps.each}"}}

    differing = recorded(document, *(entry(f"each[{n}].call", n * 10) for n in range(3)))
    alike = recorded(document, *(entry(f"each[{n}].call", "x") for n in range(3)))

    assert simulate(differing.document, catalog=CATALOG)["outputs"] == {"it": [0, 10, 20]}
    assert alike.document["steps"][0]["steps"][0]["simulate"] == {"output": "x"}


def test_what_loops_in_loops_cannot_tell_is_said() -> None:
    inner = {"id": "in", "for_each": "${[1, 2]}", "steps": [CALL]}
    document = {"version": 1, "steps": [{"id": "out", "for_each": "${[1, 2]}", "steps": [inner]}]}

    found = recorded(document, *(entry(f"out[{a}].in[{b}].call", a * 10 + b) for a in range(2) for b in range(2)))

    assert found.notes == ["call has run in loops inside of loops: the first round of each index is kept"]
    assert validate(found.document, catalog=CATALOG) == []


def test_what_has_computed_its_result_computes_it_again() -> None:
    steps = [
        {"id": "day", "set": {"d": "real"}, "simulate": {"output": {"d": "05-17"}}},
        {
            "id": "each",
            "for_each": "${[1, 2]}",
            "steps": [{"id": "twice", "set": {"n": "${mul(item, 2)}"}}],
            "collect": "${steps.twice.n}",
            "simulate": {"output": []},
        },
        {"id": "no", "if": "false", "set": {"d": 1}, "simulate": {"output": {"d": 2}}},
    ]
    document = {"version": 1, "steps": steps, "outputs": {"d": "${steps.day.d}", "each": "${steps.each}"}}
    skipped = replace(entry("no"), state=StepState.SKIPPED)

    found = recorded(document, entry("day", {"d": "real"}), entry("each", [2, 4]), skipped)

    assert simulate(found.document, catalog=CATALOG)["outputs"] == {"d": "real", "each": [2, 4]}
    assert [step.get("simulate") for step in found.document["steps"]] == [None, None, {"output": {"d": 2}}]


def test_what_a_fixture_has_answered_it_answers_again() -> None:
    step = {"id": "day", "set": {"d": "real"}, "simulate": {"output": {"d": "05-17"}}}

    found = recorded({"version": 1, "steps": [step]}, replace(entry("day", {"d": "05-17"}), simulated=True))

    assert found.document["steps"] == [step]


def test_the_document_that_was_given_stays_as_it_is() -> None:
    document = {"version": 1, "steps": [dict(CALL)]}

    recorded(document, entry("call", 5))

    assert document == {"version": 1, "steps": [CALL]}
