"""`wait`: until when, how it is kept, and what ends it early."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.document import validate
from pipelines.engine.ports import Failed, Parked, StepState, Succeeded
from pipelines.simulation import simulate
from tests.unit.pipelines.test_nesting import put, ran
from tests.unit.pipelines.world import CATALOG, START, World, document

S, F, C = "succeeded", "failed", "canceled"
HOUR = timedelta(hours=1)


def wait(step_id="nap", **given):
    return {"id": step_id, "wait": given}


def timed(answer):
    return [(step["path"], step["state"], step["at"]) for step in answer["steps"]]


def test_a_run_parks_until_the_wait_is_over_and_the_result_is_its_end():
    world = World()
    written = document(wait(**{"for": "PT1H"}), put("a"), outputs={"at": "${steps.nap.until}"})

    first = asyncio.run(world.go(written))
    world.instant += timedelta(minutes=59)
    early = asyncio.run(world.go(written))
    world.instant += timedelta(minutes=2)
    late = asyncio.run(world.go(written))

    assert first == early == Parked(START + HOUR, "nap")
    assert late == Succeeded({"at": "2025-01-06T07:00:00Z"})
    assert world.states == [("nap", StepState.SUCCEEDED, 1), ("a", StepState.SUCCEEDED, 1)]
    assert world.barriers[0] is True, "the end of a long wait is committed before the slot is given away"
    assert world.entries[0].started_at == world.entries[1].started_at == START


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ({"for": "${params.delay}"}, START + timedelta(minutes=90)),
        ({"for": "P1DT1S"}, START + timedelta(days=1, seconds=1)),
        ({"until": "2025-01-06T10:00:00+02:00"}, START + 2 * HOUR),
        ({"until": "2025-01-07"}, datetime(2025, 1, 7, tzinfo=UTC)),
        ({"until": "${date_add(now, 'P1M')}"}, datetime(2025, 2, 6, 6, tzinfo=UTC)),
    ],
)
def test_its_end_may_be_a_length_an_instant_or_an_expression(given, at):
    outcome = asyncio.run(World().go(document(wait(**given)), params={"delay": "PT1H30M"}))

    assert outcome == Parked(at, "nap")


@pytest.mark.parametrize("given", [{"for": "PT0S"}, {"until": "2025-01-06T06:00:00Z"}, {"until": "2001-01-01"}])
def test_what_is_over_already_is_not_waited_for(given):
    world = World()

    assert isinstance(asyncio.run(world.go(document(wait(**given)))), Succeeded)
    assert (world.slept, len(world.entries)) == ([], 1)


def test_in_a_simulated_run_it_is_marked_and_in_a_real_one_it_is_not():
    world = World()
    written = document(wait(**{"for": "PT1S"}))

    asyncio.run(world.go(written))

    assert [entry.simulated for entry in world.entries] == [False]
    assert [step["simulated"] for step in simulate(written, catalog=CATALOG)["steps"]] == [True]


def test_a_short_wait_keeps_its_slot_and_writes_nothing_before_its_end():
    world = World()

    outcome = asyncio.run(world.go(document(wait(**{"for": "PT1.5S"}))))

    assert isinstance(outcome, Succeeded)
    assert world.slept == [timedelta(seconds=1.5)]
    assert [(entry.state, entry.output) for entry in world.entries] == [
        (StepState.SUCCEEDED, {"until": "2025-01-06T06:00:01.500000Z"})
    ]


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({"for": "${params.x}"}, "7 is no ISO 8601 duration"),
        ({"for": "${params.none}"}, "null is no ISO 8601 duration"),
        ({"for": "${'soon'}"}, "'soon' is no ISO 8601 duration"),
        ({"for": "${'P1M'}"}, "length is not fixed"),
        ({"for": "${'-PT1H'}"}, "is negative"),
        ({"for": "${'P9999D'}"}, "longer than 3660 days"),
        ({"for": "${'P9999999D'}"}, "longer than 3660 days"),
        ({"until": "${params.x}"}, "7 is no ISO 8601 instant"),
        ({"until": "${'tomorrow'}"}, "'tomorrow' is no ISO 8601 instant"),
        ({"until": "${'9999-12-31T23:59:59Z'}"}, "more than 3660 days away"),
        ({"until": "${'9999-12-31T23:59:59-10:00'}"}, "outside of the years"),
        ({"until": "${'x' && pad('x', `5000`)}"}, "is no ISO 8601 instant"),
    ],
)
def test_an_end_that_is_none_fails_the_step_where_it_stands(given, detail):
    outcome = asyncio.run(World().go(document(wait(**given)), params={"x": 7}))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.error_class, outcome.error.step) == ("bad_argument", "validation", "nap")
    assert outcome.error.pointer == f"/steps/0/wait/{next(iter(given))}"
    assert detail in outcome.error.detail
    assert len(outcome.error.detail) < 300


@pytest.mark.parametrize(
    ("step", "pointer", "code"),
    [
        ({"wait": {}}, "/steps/0/wait", "invalid_value"),
        ({"wait": {"for": "PT1S", "until": "2026-01-01"}}, "/steps/0/wait", "invalid_value"),
        ({"wait": {"for": 5}}, "/steps/0/wait/for", "wrong_type"),
        ({"wait": {"for": "5m"}}, "/steps/0/wait/for", "bad_duration"),
        ({"wait": {"for": "P1Y"}}, "/steps/0/wait/for", "bad_duration"),
        ({"wait": {"for": "P4000D"}}, "/steps/0/wait/for", "bad_duration"),
        ({"wait": {"until": "08:00"}}, "/steps/0/wait/until", "invalid_value"),
        ({"wait": {"for": "${steps.x}"}}, "/steps/0/wait/for", "unknown_step"),
        ({"wait": {"fro": "PT1S"}}, "/steps/0/wait/fro", "unknown_field"),
        ({"wait": "PT1H"}, "/steps/0/wait", "wrong_type"),
        ({"wait": {"for": "PT1H"}, "timeout": "PT2H"}, "/steps/0/timeout", "not_here"),
    ],
)
def test_a_literal_end_that_is_none_is_refused_when_it_is_saved(step, pointer, code):
    found = [(problem.pointer, problem.code) for problem in validate(document(step), catalog=CATALOG)]

    assert (pointer, code) in found


def test_in_a_loop_each_iteration_waits_for_itself():
    answer = ran(document({"id": "each", "for_each": [1, 2], "steps": [wait(**{"for": "PT1H"}), put("a")]}))

    assert timed(answer) == [
        ("each[0].nap", S, "PT1H"),
        ("each[0].a", S, "PT1H"),
        ("each[1].nap", S, "PT2H"),
        ("each[1].a", S, "PT2H"),
        ("each", S, "PT2H"),
    ]


def test_branches_wait_at_the_same_time_and_the_run_parks_for_the_nearest():
    written = document(
        {
            "id": "p",
            "parallel": {
                "branches": {"a": [wait("x", **{"for": "PT2H"})], "b": [wait("y", **{"for": "PT1H"}), put("z")]}
            },
        }
    )

    first = asyncio.run(World().go(written))

    assert first == Parked(START + HOUR, "y")
    assert timed(ran(written)) == [("y", S, "PT1H"), ("z", S, "PT1H"), ("x", S, "PT2H"), ("p", S, "PT2H")]


def test_a_race_against_the_clock_is_any_of_two_branches():
    slow = {"id": "slow", "uses": "echo", "simulate": {"output": 1, "delay": "PT10S"}}
    written = document(
        {"id": "p", "parallel": {"branches": {"work": [slow], "clock": [wait(**{"for": "PT5S"})]}, "mode": "any"}},
        outputs={"winner": "${steps.p.winner}"},
    )

    answer = ran(written)

    assert answer["outputs"] == {"winner": "clock"}
    assert timed(answer) == [("nap", S, "PT5S"), ("slow", C, "PT5S"), ("p", S, "PT5S")]


@pytest.mark.parametrize("at", [timedelta(seconds=1), timedelta(minutes=30)])
@pytest.mark.parametrize("length", ["PT2S", "PT1H"])
def test_a_cancellation_ends_a_wait_and_what_runs_last_runs(at, length):
    tidied = {"id": "t", "try": [wait(**{"for": length}), wait("long", **{"for": "P1D"})], "finally": [put("tidy")]}

    answer = ran(document(tidied), cancel_at=at)

    ended = timed(answer)
    assert answer["state"] == "canceled"
    assert [state for path, state, _ in ended if path in ("nap", "long")][-1] == C
    assert [state for path, state, _ in ended if path == "tidy"] == [S]


def test_a_cancellation_while_branches_are_parked_runs_what_each_runs_last():
    """They are taken up again only to be given up."""

    def tidied(name, length):
        return [{"id": name, "try": [wait(f"{name}_nap", **{"for": length})], "finally": [put(f"{name}_tidy")]}]

    written = document({"id": "p", "parallel": {"branches": {"a": tidied("a", "PT5M"), "b": tidied("b", "PT2H")}}})

    answer = ran(written, cancel_at=timedelta(seconds=100))

    assert timed(answer) == [
        ("a_nap", C, "PT1M40S"),
        ("a_tidy", S, "PT1M40S"),
        ("a", C, "PT1M40S"),
        ("b_nap", C, "PT1M40S"),
        ("b_tidy", S, "PT1M40S"),
        ("b", C, "PT1M40S"),
        ("p", C, "PT1M40S"),
    ]


def test_a_retry_of_the_whole_run_does_not_begin_a_wait_again():
    world = World()
    written = document(
        {
            "id": "p",
            "parallel": {"branches": {"a": [wait(**{"for": "PT1H"})], "b": [{"id": "w", "uses": "fetch"}]}},
        }
    )
    asyncio.run(world.go(written))
    world.run_attempt, world.instant = 2, START + timedelta(minutes=30)

    assert asyncio.run(world.go(written)) == Parked(START + HOUR, "nap")


def test_a_condition_is_asked_when_the_wait_begins_and_not_when_it_ends():
    world = World()
    written = document({**wait(**{"for": "PT1H"}), "if": "run.attempt == 1"})
    asyncio.run(world.go(written))
    world.run_attempt, world.instant = 2, START + HOUR

    assert isinstance(asyncio.run(world.go(written)), Succeeded)
    assert world.output("nap") == {"until": "2025-01-06T07:00:00Z"}


def test_a_fixture_stands_for_the_wait():
    answer = ran(document({**wait(**{"for": "PT1H"}), "simulate": {"output": {"until": "then"}, "delay": "PT3S"}}))

    assert timed(answer) == [("nap", S, "PT3S")]
    assert answer["steps"][0]["output"] == {"until": "then"}


@pytest.mark.parametrize("days", [194, 195, 366, 3660])
def test_a_simulation_comes_to_the_end_of_the_longest_waits(days):
    """Past 2**24 seconds the resolution of asyncio's clock added nothing to its time: the timer never came."""
    waits = [{"id": f"nap{number}", "wait": {"for": f"P{days}D"}} for number in range(3)]

    answer = simulate(document(*waits), catalog=CATALOG)

    assert [step["at"] for step in answer["steps"]] == [f"P{days * number}D" for number in (1, 2, 3)]
