"""The documents of the scenarios, by name: a container or a leaf, and what befalls it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

Steps = list[dict[str, Any]]
Doc = dict[str, Any]

BUSY = {"error": {"code": "busy", "class": "transient"}}
BROKE = {"error": {"code": "broke", "class": "permanent"}}
ONCE_MORE = {"max_attempts": 2, "initial": "PT1S", "backoff": "fixed"}


@dataclass(frozen=True, slots=True)
class Scenario:
    document: Doc
    cancel_at: timedelta | None = None


def tool(step_id: str, *fixtures: Doc, seconds: int = 0, **fields: Any) -> Doc:
    """A call that answers by its fixtures, each after so many seconds; without any it answers 1."""
    given = [{**fixture, "delay": f"PT{seconds}S"} for fixture in fixtures or ({"output": 1},)]
    return {"id": step_id, "uses": "fetch", "simulate": given, **fields}


def note(step_id: str, **values: Any) -> Doc:
    return {"id": step_id, "set": values or {"v": 1}}


# Containers: what is inside is begun with `first`, then come the steps that are given.


def _switch(steps: Steps) -> Doc:
    return {"switch": {"cases": [{"when": "false", "steps": [note("other")]}, {"when": "true", "steps": steps}]}}


def _try(steps: Steps) -> Doc:
    return {"try": steps, "finally": [note("last", error="${error.code}")]}


def _for_each(steps: Steps) -> Doc:
    return {"for_each": ["x", "y"], "steps": steps}


def _at_once(steps: Steps) -> Doc:
    return {"for_each": ["x", "y"], "concurrency": 2, "steps": steps}


def _while(steps: Steps) -> Doc:
    return {"while": "index < `2`", "max_iterations": 3, "steps": steps}


def _all(steps: Steps) -> Doc:
    return {"parallel": {"branches": {"one": steps, "two": [tool("beside", seconds=2), note("after")]}}}


def _any(steps: Steps) -> Doc:
    return {"parallel": {"branches": {"one": steps, "two": [tool("beside", seconds=9)]}, "mode": "any"}}


def _deep(steps: Steps) -> Doc:
    inner = {"id": "inner", "switch": {"cases": [{"when": "item == 'y'", "steps": steps}]}}
    return {"for_each": ["x", "y"], "steps": [{"id": "guard", "try": [inner], "finally": [note("last")]}]}


CONTAINERS: dict[str, Callable[[Steps], Doc]] = {
    "switch": _switch,
    "try": _try,
    "for_each": _for_each,
    "for_each at once": _at_once,
    "while": _while,
    "parallel all": _all,
    "parallel any": _any,
    "deep": _deep,
}


def _box(make: Callable[[Steps], Doc], *steps: Doc, **fields: Any) -> Doc:
    return {"id": "box", **make([note("first"), *steps]), **fields}


def _document(*steps: Doc, **fields: Any) -> Doc:
    return {"version": 1, "steps": list(steps), **{name.removesuffix("_"): value for name, value in fields.items()}}


Make = Callable[[Steps], Doc]
_CATCH = [{"on": ["permanent"], "as": "err", "steps": [note("caught", code="${err.code}")]}]

BEFALLS: dict[str, Callable[[Make], Scenario]] = {
    "nothing": lambda make: Scenario(_document(_box(make, tool("call", seconds=1)), note("end"))),
    "a retry inside": lambda make: Scenario(
        _document(_box(make, tool("call", BUSY, {"output": 1}, retry=ONCE_MORE)), note("end"))
    ),
    "a failure": lambda make: Scenario(_document(_box(make, tool("call", BROKE, seconds=1)), note("end"))),
    "a failure that is tolerated inside": lambda make: Scenario(
        _document(_box(make, tool("call", BROKE, continue_on_error=True), note("then")), note("end"))
    ),
    "a failure that is tolerated around": lambda make: Scenario(
        _document(_box(make, tool("call", BROKE), continue_on_error=True), note("end"))
    ),
    "a failure that is caught around": lambda make: Scenario(
        _document({"id": "outer", "try": [_box(make, tool("call", BROKE))], "catch": _CATCH}, note("end"))
    ),
    "a retry of the whole": lambda make: Scenario(
        _document(_box(make, tool("call", BUSY, {"output": 1}), retry=ONCE_MORE), note("end"))
    ),
    "a time-out of the whole": lambda make: Scenario(
        _document(_box(make, tool("call", seconds=8), timeout="PT3S"), note("end"))
    ),
    "a time-out and another try": lambda make: Scenario(
        _document(
            _box(make, tool("call", {"output": 1}, seconds=4), timeout="PT3S", retry=ONCE_MORE, continue_on_error=True),
            note("end"),
        )
    ),
    "a time-out inside": lambda make: Scenario(_document(_box(make, tool("call", seconds=8, timeout="PT3S")))),
    "a long wait": lambda make: Scenario(_document(_box(make, {"id": "nap", "wait": {"for": "PT1H"}}), note("end"))),
    "a cancellation": lambda make: Scenario(
        _document(_box(make, tool("call", seconds=8)), note("end"), finally_=[note("tidy", by="${error.code}")]),
        cancel_at=timedelta(seconds=3),
    ),
    "a cancellation while parked": lambda make: Scenario(
        _document(_box(make, {"id": "nap", "wait": {"for": "PT1H"}}), finally_=[note("tidy")]),
        cancel_at=timedelta(minutes=5),
    ),
    "a fail": lambda make: Scenario(
        _document(
            _box(make, {"id": "no", "fail": {"code": "refused", "class": "rejected"}}),
            on_error=[note("alarm", code="${error.code}")],
        )
    ),
    "a succeed": lambda make: Scenario(
        _document(_box(make, {"id": "yes", "succeed": {"outputs": {"a": 1}}}), note("never"), finally_=[note("tidy")])
    ),
    "a step that is skipped": lambda make: Scenario(
        _document(_box(make, {**tool("call"), "if": "false"}), note("end"))
    ),
    "a limit of steps": lambda make: Scenario(
        _document(_box(make, tool("call"), note("more")), limits={"max_steps": 3})
    ),
}

# Leaves: a step on its own, and what befalls it.

LEAVES: dict[str, Doc] = {
    "tool": tool("leaf", seconds=1),
    "set": {"id": "leaf", "set": {"a": "${run.trigger}"}},
    "wait": {"id": "leaf", "wait": {"for": "PT10S"}},
    "approval": {
        "id": "leaf",
        "approval": {"title": "Go on?", "timeout": "PT20S"},
        "simulate": {"output": {"form": {}}, "delay": "PT10S"},
    },
    "approval rejected": {
        "id": "leaf",
        "approval": {"title": "Go on?"},
        "simulate": [{"output": {"approved": False}, "delay": "PT10S"}, {"output": {"approved": True}}],
    },
    "approval in vain": {
        "id": "leaf",
        "approval": {"title": "Go on?", "timeout": "PT5S"},
        "simulate": {"output": {"form": {}}, "delay": "PT10S"},
    },
    "event": {
        "id": "leaf",
        "wait_for_event": {"topic": "order.*", "filter": "event.payload.n > `1`", "timeout": "PT20S"},
        "simulate": {"output": {"topic": "order.paid", "payload": {"n": 2}}, "delay": "PT10S"},
    },
    "event in vain": {"id": "leaf", "wait_for_event": {"topic": "order.paid", "timeout": "PT10S"}},
    "event that need not come": {
        "id": "leaf",
        "wait_for_event": {"topic": "order.paid", "timeout": "PT10S", "on_timeout": "continue"},
        "simulate": [{"output": None}, {"output": {"payload": {}}}],
    },
    "run": {"id": "leaf", "run": "other", "simulate": {"output": {"n": 1}, "delay": "PT10S"}},
    "run that fails": {
        "id": "leaf",
        "run": "other",
        "simulate": [{"error": {"code": "run_failed", "class": "transient"}, "delay": "PT10S"}, {"output": {}}],
    },
    "run that takes too long": {
        "id": "leaf",
        "run": "other",
        "timeout": "PT5S",
        "simulate": {"output": {}, "delay": "PT10S"},
    },
    "run that is not waited for": {"id": "leaf", "run": "other", "wait": False},
    "fail": {"id": "leaf", "fail": {"code": "no", "class": "transient", "message": "not now"}},
    "succeed": {"id": "leaf", "succeed": {"outputs": {"a": 1}}},
}
_TIDY = {"finally_": [note("tidy", by="${error.code}")]}

LEAF_BEFALLS: dict[str, Callable[[Doc], Scenario]] = {
    "alone": lambda leaf: Scenario(_document(leaf, note("end"))),
    "skipped": lambda leaf: Scenario(_document({**leaf, "if": "params.no"}, note("end"))),
    "tried again": lambda leaf: Scenario(_document({**leaf, "retry": ONCE_MORE}, note("end"))),
    "tolerated": lambda leaf: Scenario(_document({**leaf, "continue_on_error": True}, note("end"))),
    "in a try": lambda leaf: Scenario(
        _document(
            {"id": "t", "try": [leaf], "catch": [{"steps": [note("caught")]}], "finally": [note("last")]}, **_TIDY
        )
    ),
    "with what runs last": lambda leaf: Scenario(
        _document(leaf, on_error=[note("alarm", code="${error.code}")], **_TIDY)
    ),
    "canceled": lambda leaf: Scenario(
        _document(tool("before", seconds=1), leaf, tool("after", seconds=9), **_TIDY), cancel_at=timedelta(seconds=1.5)
    ),
}


def scenarios() -> Iterator[tuple[str, Scenario]]:
    """Each by its name, in the order of the table."""
    for kind, make in CONTAINERS.items():
        for befalls, scenario in BEFALLS.items():
            yield f"{kind}: {befalls}", scenario(make)
    for kind, leaf in LEAVES.items():
        for befalls, of_leaf in LEAF_BEFALLS.items():
            yield f"{kind}: {befalls}", of_leaf(leaf)
