"""Pipelines of the load whose steps stand inside of others: loops, branches side by side, waits, and what runs last."""

from typing import Any


def _call(step_id: str, tool: str, **given: Any) -> dict[str, Any]:
    return {"id": step_id, "uses": f"chaos.{tool}", "with": given}


_EACH = {
    "id": "each",
    "for_each": [1, 2, 3],
    "concurrency": 2,
    "steps": [_call("seen", "note"), _call("sum", "recompute"), _call("sent", "slow", seconds=0.05)],
}
_BOTH = {
    "id": "both",
    "timeout": "PT5M",
    "parallel": {
        "branches": {
            "short": [_call("first", "note"), _call("second", "recompute")],
            "long": [_call("third", "slow", seconds=0.2), _call("fourth", "note")],
        }
    },
}
_TWICE = {"id": "twice", "while": "index < `2`", "max_iterations": 2, "steps": [_call("turn", "note")]}
_PICK = {
    "id": "pick",
    "switch": {"cases": [{"when": "steps.twice.iterations == `2`", "steps": [_call("end", "note")]}]},
}

NESTED: dict[str, Any] = {
    "version": 1,
    "steps": [{"id": "guard", "try": [_EACH, _BOTH, _TWICE, _PICK], "finally": [_call("tidy", "note")]}],
    "finally": [_call("last", "note")],
}
WAITING: dict[str, Any] = {
    "version": 1,
    "steps": [
        _call("before", "note"),
        {
            "id": "race",
            "parallel": {
                "branches": {
                    "nap": [{"id": "nap", "wait": {"for": "PT3S"}}, _call("awake", "note")],
                    "work": [{"id": "all", "for_each": [1, 2], "steps": [_call("do", "slow", seconds=0.1)]}],
                }
            },
        },
        _call("after", "note"),
    ],
}
# Each of these cancels its own task, the last one for good; all that runs last runs all the same.
CANCELING_ITSELF: dict[str, Any] = {
    "version": 1,
    "steps": [
        {
            "id": "caught",
            "try": [_call("one", "cancel_itself", waits=True)],
            "catch": [{"on": ["canceled_by_tool"], "steps": [_call("seen", "note")]}],
            "finally": [_call("tidy", "note")],
        },
        {
            "id": "each",
            "for_each": [1, 2],
            "concurrency": 2,
            "max_failures": 1,
            "steps": [{**_call("risky", "cancel_itself", waits=False), "if": "item == `2`"}],
        },
        {
            "id": "both",
            "parallel": {
                "branches": {
                    "short": [_call("own", "cancel_itself", waits=True)],
                    "long": [
                        {"id": "held", "try": [_call("do", "slow", seconds=3)], "finally": [_call("let", "note")]}
                    ],
                }
            },
        },
    ],
    "finally": [_call("last", "note")],
}
