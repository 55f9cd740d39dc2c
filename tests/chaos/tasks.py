"""What the load is made of: the tasks that are there from the start, their queues, and how pipelines are written."""

from typing import Any

from tests.chaos.nested import CANCELING_ITSELF, NESTED, WAITING
from tests.leftovers import IN_A_PROCESS, ON_A_LOOP

PING = "chaos.ping"


def pipeline(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "steps": [{"id": f"s{number}", **step} for number, step in enumerate(steps)]}


def call(tool: str, **given: Any) -> dict[str, Any]:
    return {"uses": f"chaos.{tool}", "with": given}


def every(seconds: int, **more: Any) -> dict[str, Any]:
    return {"kind": "interval", "expression": f"PT{seconds}S", **more}


NOTE, RECOMPUTE = call("note"), call("recompute")
_RECOMPUTE_CHECKED = {"id": "s0", **RECOMPUTE}
_QUICKLY = {"max_attempts": 4, "backoff": "fixed", "initial": "PT0.3S", "max": "PT1S", "jitter": False}
ALL = {"policy": "all", "grace": "PT1S", "limit": 1000}
SKIP = {"policy": "skip", "grace": "PT1S"}

# What is there from the start: by key, for the first agent. Nobody pauses `ticks`, `followed`, `follower`, `listener`.
TASKS: dict[str, dict[str, Any]] = {
    "ticks": {"pipeline": pipeline(NOTE, RECOMPUTE, NOTE), "schedules": [every(1, misfire=ALL)]},
    "followed": {"pipeline": pipeline(NOTE), "schedules": [every(3)]},
    "follower": {
        "pipeline": pipeline(RECOMPUTE, NOTE),
        "schedules": [{"kind": "after", "expression": "end", "after": "followed"}],
    },
    "listener": {"pipeline": pipeline(NOTE), "schedules": [{"kind": "event", "expression": PING}]},
    "keyed-a": {
        "pipeline": pipeline(call("slow", seconds=0.4), NOTE),
        "schedules": [every(2)],
        "concurrency": {"key": "shared", "limit": 2},
    },
    "keyed-b": {
        "pipeline": pipeline(NOTE, call("slow", seconds=0.3)),
        "schedules": [every(3, misfire=ALL)],
        "concurrency": {"key": "shared", "limit": 2},
        "priority": 2,
    },
    "keyed-alone": {
        "pipeline": pipeline(call("isolated", seconds=0.1)),
        "concurrency": {"key": "one", "limit": 1},
        "retry": _QUICKLY,
    },
    "skips": {"pipeline": pipeline(call("slow", seconds=0.7)), "schedules": [every(1)], "overlap": "skip"},
    "queues-one": {"pipeline": pipeline(call("slow", seconds=0.6)), "schedules": [every(2)], "overlap": "queue_one"},
    "queues-all": {"pipeline": pipeline(NOTE, NOTE), "schedules": [every(4, misfire=ALL)], "overlap": "queue_all"},
    "cancels": {
        "pipeline": pipeline(call("slow", seconds=1.5), NOTE),
        "schedules": [every(4)],
        "overlap": "cancel_running",
    },
    "tries-again": {
        "pipeline": pipeline(NOTE, {**call("flaky", failures=2), "retry": _QUICKLY}),
        "schedules": [every(4, misfire=SKIP)],
    },
    "runs-again": {"pipeline": pipeline(NOTE, call("flaky", failures=2)), "retry": _QUICKLY},
    "parks": {
        "pipeline": pipeline(
            NOTE, {**call("flaky", failures=1), "retry": {**_QUICKLY, "initial": "PT3S", "max": "PT3S"}}
        )
    },
    "nested": {"pipeline": NESTED, "schedules": [every(1, misfire=ALL)], "queue": "other"},
    "nested-waits": {"pipeline": WAITING, "schedules": [every(4, misfire=ALL)]},
    "repeats": {
        "pipeline": pipeline(NOTE),
        "schedules": [{"kind": "rrule", "expression": "FREQ=SECONDLY;INTERVAL=3", "misfire": ALL}],
    },
    # True in every other minute, so that it becomes true now and then.
    "checks": {
        "pipeline": pipeline(NOTE),
        "schedules": [
            {
                "kind": "condition",
                "expression": "PT2S",
                "check": {
                    "version": 1,
                    "steps": [_RECOMPUTE_CHECKED],
                    "outputs": {"met": "${mod(to_number(format_date(now, '%M')), `2`) == `0`}"},
                },
                "misfire": SKIP,
            }
        ],
    },
    "hears": {
        "pipeline": pipeline(
            NOTE,
            {"wait_for_event": {"topic": "chaos.*", "buffered": "PT2S", "timeout": "PT8S", "on_timeout": "continue"}},
            NOTE,
        ),
        "schedules": [every(3, misfire=ALL)],
    },
    "calls": {
        "pipeline": pipeline(
            {"run": "called", "params": {"n": 1}, "timeout": "PT20S", "retry": _QUICKLY, "continue_on_error": True},
            NOTE,
            {"run": "called", "wait": False},
        ),
        "schedules": [every(4, misfire=ALL)],
    },
    "called": {"pipeline": pipeline(NOTE, RECOMPUTE)},
    "once": {"pipeline": pipeline(NOTE, call("once", seconds=0.3), NOTE), "schedules": [every(2)]},
    "isolated": {"pipeline": pipeline(call("isolated", seconds=0.3), NOTE), "schedules": [every(4)]},
    "refused": {"pipeline": pipeline(NOTE, call("refuse", times=1), NOTE)},
    "long": {"pipeline": pipeline(*[NOTE, RECOMPUTE] * 5), "queue": "other", "priority": 1},
    "leaves": {"pipeline": pipeline(*(call("leave", what=what) for what in ON_A_LOOP)), "schedules": [every(7)]},
    "leaves-isolated": {
        "pipeline": pipeline(*(call("leave_isolated", what=what, seconds=0.5) for what in IN_A_PROCESS)),
        "schedules": [every(11)],
    },
    "cancels-itself": {"pipeline": CANCELING_ITSELF, "schedules": [every(5, misfire=ALL)]},
    "poison": {"pipeline": pipeline(NOTE, call("poison"))},
    "block": {"pipeline": pipeline(NOTE, call("block", seconds=6))},
    "rated": {
        "pipeline": pipeline(call("slow", seconds=0.1), NOTE),
        "schedules": [every(1, misfire=ALL)],
        "queue": "rated",
    },
    "fair": {"pipeline": pipeline(NOTE, RECOMPUTE), "schedules": [every(2, misfire=ALL)], "queue": "fair"},
    "paused-a": {"pipeline": pipeline(NOTE), "schedules": [every(1), every(5, misfire=ALL)]},
    "paused-b": {
        "pipeline": pipeline(call("slow", seconds=0.2)),
        "schedules": [every(2)],
        "concurrency": {"key": "paused", "limit": 1},
        "overlap": "queue_one",
    },
}
# The second agent's; its key of the same name is another.
OTHERS: dict[str, dict[str, Any]] = {
    "fair": {
        "pipeline": pipeline(NOTE, call("slow", seconds=0.2)),
        "schedules": [every(1, misfire=ALL)],
        "queue": "fair",
    },
    "rated": {"pipeline": pipeline(NOTE), "queue": "rated", "schedules": [every(3)], "priority": 2},
    "ticks": {"pipeline": pipeline(NOTE), "schedules": [every(2)], "queue": "other"},
    "keyed": {
        "pipeline": pipeline(call("slow", seconds=0.2)),
        "schedules": [every(2)],
        "concurrency": {"key": "shared", "limit": 1},
    },
}
# In every other pair of rounds these queues are operated: then no claim is a single statement.
QUEUES: dict[str, dict[str, Any]] = {
    "rated": {"rate": {"limit": 5, "period": "PT1S", "burst": 4}},
    "fair": {"fair": True, "weight": 3},
}
