"""Which finished results a run that is done again from a step begins with."""

from typing import Any

import pytest

from pipelines.document import compile_document
from pipelines.engine.ports import StepEntry, StepState
from pipelines.engine.replaying import CannotReplay, LastBodies, kept_paths
from tests.unit.pipelines.world import CATALOG


def call(step: str, uses: str = "echo") -> dict[str, Any]:
    return {"id": step, "uses": uses, "with": {}}


def loop(step: str, *inside: dict[str, Any]) -> dict[str, Any]:
    return {"id": step, "for_each": "${[1, 2]}", "steps": list(inside)}


def document(*steps: dict[str, Any], **more: Any) -> Any:
    return compile_document({"version": 1, "steps": list(steps), **more}, catalog=CATALOG)


WHOLE = document(
    call("a"),
    loop("each", call("in_loop")),
    {"id": "box", "try": [call("b"), call("c"), call("d")], "catch": [{"steps": [call("caught")]}]},
    {"id": "both", "parallel": {"branches": {"l": [call("left")], "r": [call("right")]}}},
    call("e"),
    **{"finally": [call("last")]},
)
LOOP, BOX = ["each", "each[0].in_loop"], ["box", "b", "c", "d", "caught"]
PATHS = ["a", *LOOP, *BOX, "both", "left", "right", "e", "last"]


@pytest.mark.parametrize(
    ("begin", "kept"),
    [
        ("a", []),
        ("each", ["a"]),
        ("box", ["a", "each", "each[0].in_loop"]),
        ("c", ["a", "each", "each[0].in_loop", "b"]),
        ("both", ["a", *LOOP, *BOX]),
        ("right", ["a", *LOOP, *BOX, "left"]),
        ("e", PATHS[:-2]),
    ],
)
def test_what_stands_before_the_step_is_kept(begin: str, kept: list[str]) -> None:
    is_kept = kept_paths(WHOLE, WHOLE, begin)

    assert [path for path in PATHS if is_kept(path)] == kept


@pytest.mark.parametrize(
    ("begin", "hint"), [("in_loop", "begin from each"), ("bothh", "did you mean 'both'?"), ("last", None)]
)
def test_a_step_that_cannot_be_begun_from_is_refused(begin: str, hint: str | None) -> None:
    with pytest.raises(CannotReplay) as refused:
        kept_paths(WHOLE, WHOLE, begin)

    assert refused.value.hint == hint or hint is None


def test_of_a_newer_document_only_what_means_the_same_is_kept() -> None:
    newer = document(
        call("new"),
        {**call("a"), "with": {"other": 1}},
        loop("each", call("in_loop"), call("more")),
        {"id": "box", "set": {}},
        call("e"),
    )

    is_kept = kept_paths(WHOLE, newer, "e")

    assert [path for path in [*PATHS, "new"] if is_kept(path)] == ["a"]


def test_steps_without_ids_are_the_same_where_nothing_of_them_differs() -> None:
    """`step_2` is another step as soon as one is put in before it."""
    one, two, three = ({"uses": "echo", "with": {"n": n}} for n in (1, 2, 3))
    old = document(one, two, call("named"), call("end"))
    newer = document(one, three, call("named"), call("end"))

    is_kept = kept_paths(old, newer, "end")

    assert [path for path in ["step_1", "step_2", "named", "end"] if is_kept(path)] == ["step_1", "named"]


def box(*inside: dict[str, Any]) -> dict[str, Any]:
    return {"id": "box", "try": list(inside), "finally": [call("tidy")]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (call("s"), call("s", "send")),
        ({"id": "in", "parallel": {"branches": {"l": [call("s")]}}}, {"id": "in", "set": {}}),
        ({"uses": "echo", "with": {"n": 1}}, {"uses": "echo", "with": {"n": 2}}),
    ],
)
def test_a_container_is_kept_only_where_all_inside_of_it_is(before: dict[str, Any], after: dict[str, Any]) -> None:
    """It is not entered then, and nothing inside of it would run."""
    old, newer = document(box(before), call("end")), document(box(after), call("end"))

    assert not kept_paths(old, newer, "end")("box")
    assert kept_paths(old, newer, "end")("tidy")
    assert kept_paths(old, old, "end")("box")


def entry(path: str, state: str, attempt: int = 1, run_attempt: int = 1) -> StepEntry:
    return StepEntry(path=path, kind="", state=StepState(state), attempt=attempt, run_attempt=run_attempt)


BOXES = document(
    {
        "id": "box",
        "try": [
            call("b"),
            loop("each", call("x"), {"id": "in", "try": [call("y")], "finally": [call("z")]}),
        ],
        "finally": [call("f")],
    },
    call("e"),
)


def test_of_a_container_that_was_tried_again_the_last_body_stands() -> None:
    history = [
        entry("b", "succeeded"),
        entry("each[0].x", "succeeded"),
        entry("each", "failed"),
        entry("box", "failed"),
        entry("box~2.b", "succeeded", 2),
        entry("box~2.each[0].x", "succeeded", 2),
        entry("box~2.each[0].in", "failed"),
        entry("box~2.each[0].in~2.y", "succeeded"),
        entry("box~2.each[0].in", "succeeded", 2),
        entry("box~2.each", "failed", 2),
        entry("box~2.each~2.each[0].x", "succeeded", 3),
        entry("box~2.each", "succeeded", 3),
        entry("box", "succeeded", 2),
    ]
    bodies = LastBodies(BOXES, history)

    assert {each.path: bodies.path(each.path) for each in history} == {
        "b": None,
        "each[0].x": None,
        "each": None,
        "box": "box",
        "box~2.b": "b",
        "box~2.each[0].x": None,
        "box~2.each[0].in": None,
        "box~2.each[0].in~2.y": None,
        "box~2.each": "each",
        "box~2.each~2.each[0].x": "each[0].x",
    }


def test_another_attempt_of_the_run_goes_on_in_the_body_that_it_finds() -> None:
    history = [entry("b", "succeeded"), entry("box", "failed"), entry("box", "succeeded", 2, 2)]

    assert LastBodies(BOXES, history).path("b") == "b"
