"""Which finished results a run that is done again from a step begins with."""

from typing import Any

import pytest

from pipelines.document import compile_document
from pipelines.engine.replaying import CannotReplay, kept_paths
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
LOOP, BOX = ["each", "each[0].in_loop"], ["box", "b", "c", "d", "caught", "box~2.b"]
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
