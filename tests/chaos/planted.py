"""A sound history, and for each invariant a violation planted in it. A judge that never condemns proves nothing."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.history import Action, Audit, Event, History, Miss, Run, Schedule, Step, Task, Work
from tests.chaos.invariants import INVARIANTS, judge
from tests.chaos.ledger import Line
from tests.chaos.recorder import Change

_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_JOURNAL = "ordinaut worker 71 journal"


def _at(seconds: float) -> datetime:
    return _AT + timedelta(seconds=seconds)


def _line(what: str, seconds: float, **more: Any) -> Line:
    plain = Line(
        what=what, run="r1", path="s0", attempt=1, epoch=5, key="r1:s0", kind="once", pid=71, worker=71,
        at=_at(seconds).timestamp(),
    )  # fmt: skip
    return replace(plain, **more)


def sound() -> History:
    """One tick of a keyed, exclusive task that ran on worker b1, what followed it, and one event."""
    run = Run("r1", "t1", "a1", "c1", None, "schedule", _at(1), "succeeded", "", "", 1, _at(1), _at(1), _at(3))
    return History(
        runs=[
            run,
            replace(run, id="r2", task="t2", schedule=None, trigger="after", event="e1", scheduled_for=None),
            replace(run, id="r3", task="t3", schedule=None, trigger="event", event="e2", scheduled_for=None),
        ],
        tasks=[Task(id_, id_, "a1", "active", 1) for id_ in ("t1", "t2", "t3")],
        steps=[Step("r1", "s0", 1, 1, "chaos.once", "succeeded")],
        schedules=[Schedule("c1", "t1", "interval", "PT1S", "paused", _AT, _at(4), _at(0))],
        misses=[Miss("c1", _at(2), _at(3), 2)],
        events=[Event("e1", "run.succeeded", "r1"), Event("e2", "chaos.ping", None)],
        audits=[Audit("q1", "event.publish", "e2", "agent")],
        changes=[
            Change(1, _at(1), "1", "clock", "work", "INSERT", "r1", gate="key", key="k", task="t1", is_exclusive=True),
            Change(2, _at(1), "1", "clock", "work", "UPDATE", "r1", key="k", task="t1", is_exclusive=True),
            Change(3, _at(2), "2", "ordinaut worker 71 claims", "work", "UPDATE", "r1", owner="b1", epoch=5, key="k",
                   task="t1", is_exclusive=True, queue="slow", claimed_at=_at(2)),
            Change(4, _at(3), "3", _JOURNAL, "step", "INSERT", "r1", path="s0", attempt=1, state="succeeded"),
            Change(5, _at(3.1), "4", _JOURNAL, "work", "DELETE", "r1", was_owner="b1", was_epoch=5, key="k", task="t1",
                   is_exclusive=True, is_live=False),
            Change(6, _at(3.1), "4", _JOURNAL, "run", "UPDATE", "r1", state="succeeded"),
        ],
        ledger=[_line("begin", 2.2), _line("end", 2.8)],
        actions=[
            Action(request="q1", action="event.publish", must_change=True, status=202, reply={"id": "e2"}, tries=2)
        ],
        workers={"b1": 71, "b2": 72},
        limits={"k": 1},
        rates={"slow": (0.5, 2.0)},
        followed="t1",
        follower="t2",
        listener="t3",
        topic="chaos.ping",
    )  # fmt: skip


Plant = Callable[[History], None]


def _add(field: str, *values: object) -> Plant:
    return lambda history: setattr(history, field, [*getattr(history, field), *values])


def _change(id_: int, **more: Any) -> Plant:
    """One of the changes is another."""

    def plant(history: History) -> None:
        history.changes = [replace(each, **more) if each.id == id_ else each for each in history.changes]

    return plant


def _set(field: str, index: int, **more: Any) -> Plant:
    def plant(history: History) -> None:
        rows = list(getattr(history, field))
        rows[index] = replace(rows[index], **more)
        setattr(history, field, rows)

    return plant


def _drop(field: str) -> Plant:
    return lambda history: setattr(history, field, [])


_R1 = sound().runs[0]
_CLAIM = replace(sound().changes[2], key=None, task=None)
_SECOND = replace(sound().changes[1], id=7, run="r9")
PLANTED: dict[str, dict[str, Plant]] = {
    "one run an occurrence": {"a second run row": _add("runs", replace(_R1, id="r9", task="t9"))},
    "nothing due is lost": {
        "an occurrence with neither run nor miss": _drop("misses"),
        "a mark that nobody moved": _add("late_marks", "c1 is late"),
    },
    "events fire once": {
        "an event that fired nobody": _add("events", Event("e3", "chaos.ping", None)),
        "an event that fired twice": _add("runs", replace(_R1, id="r9", task="t3", trigger="event", event="e2")),
        "an accepted event that is gone": _set("actions", 0, reply={"id": "e9"}),
    },
    "ends are followed once": {
        "an end that was not told": _set("events", 0, about_run="r9"),
        "an end with two followers": _add("runs", replace(_R1, id="r9", task="t2", trigger="after", event="e1")),
    },
    "one lease a run": {
        "a lease taken from its holder": _change(3, was_owner="b2", was_epoch=4),
        "an epoch of two holders": _add("changes", replace(_CLAIM, id=8, run="r9", owner="b2")),
        "an epoch that comes back": _add("changes", replace(_CLAIM, id=8)),
        "an epoch that falls": _change(3, was_epoch=6),
    },
    "only the holder writes": {
        "a step journaled by another": _change(4, app="ordinaut worker 72 journal"),
        "a run settled by another": _change(6, app="ordinaut worker 72 journal"),
        "a step journaled without a lease": _add("changes", replace(sound().changes[3], id=9, xid="9", path="s1")),
    },
    "one key, its limit": {"a second holder": lambda history: _insert(history, replace(_SECOND, task="t9"))},
    "a rate is kept": {
        "a third start at once": lambda history: _insert(
            history, *(replace(_CLAIM, id=20 + n, run=f"r{20 + n}", epoch=20 + n) for n in range(2))
        )
    },
    "no overlap": {"a second live run": lambda history: _insert(history, replace(_SECOND, key=None))},
    "finished steps stay finished": {
        "a call after the success": _add("ledger", _line("begin", 3.4, epoch=6, kind="note")),
        "a call of the same lease after the success": _add("ledger", _line("begin", 3.05, kind="note")),
        "a call of a lease that was never given": _add("ledger", _line("begin", 3.05, epoch=4, kind="note")),
        "a former holder's call past its bound": lambda history: call_of_a_former_holder(history, at=6.3),
        "two successes": _add("steps", Step("r1", "s0", 2, 1, "chaos.once", "succeeded")),
    },
    "zombies stop in time": {
        "a call long after the loss": _add("ledger", _line("begin", 30, path="s1", key="r1:s1")),
        "a call of a lease that was never given": _add("ledger", _line("begin", 1.5, epoch=4, path="s1", key="r1:s1")),
    },
    "at least once": {
        "a success without an effect": _drop("ledger"),
        "an effect of another attempt": _set("ledger", 1, attempt=2),
    },
    "at most once where it is forbidden": {"a second call": _add("ledger", _line("begin", 2.5, attempt=2))},
    "keys are stable": {
        "another key in another attempt": _set("ledger", 1, key="r1:other"),
        "one key for two steps": _add("ledger", _line("begin", 2.5, path="s1", kind="note")),
    },
    "a tool cancels only itself": {
        "a success of one that did": _set("steps", 0, uses="chaos.cancel_itself"),
    },
    "what runs last runs": {
        "a success without it": lambda history: setattr(history, "tidying", frozenset({"t1"})),
        "a failure without it": lambda history: _fail_untidied(history),
    },
    "nothing outlives its worker": {"a daemon": _add("outlived", "daemon of worker 71 (host 70)")},
    "every run ends": {
        "due work that is left": _add("work", Work("r9", "t1", None, None, _AT)),
        "a run that nothing takes up": _set("runs", 0, state="queued", finished_at=None),
        "an end without its instant": _set("runs", 0, finished_at=None),
        "a process that ended by itself": _add("surprises", "host-1 ended by itself with 1"),
    },
    "attempts are bounded": {
        "an attempt too many": _set("runs", 0, attempt=2),
        "a failure without a cause": _set("runs", 0, state="failed"),
    },
    "a redrive tries again": {
        "a redrive without a try": _add(
            "actions", Action(request="q2", action="run.retry", must_change=False, status=202, reply={"id": "r1"})
        )
    },
    "quarantine is for poison": {
        "an innocent in quarantine": _set("runs", 0, state="failed", cause="quarantined"),
        "one that died beside others": lambda history: _quarantine(history, *_deaths_beside_others("r1", 4)),
    },
    "what was acknowledged stays": {
        "an accepted run that is gone": _add(
            "actions", Action(request="q2", action="run.start", must_change=False, status=202, reply={"id": "r9"})
        )
    },
    "one effect a request": {
        "two effects": _add("audits", Audit("q1", "event.publish", "e2", "agent")),
        "an effect of a refused request": _set("actions", 0, status=409),
    },
    "everything is in the audit trail": {
        "a deed without an entry": _drop("audits"),
        "a request that was never answered": _set("actions", 0, status=0),
        "an agent's entry without a deed": _add("audits", Audit("q9", "task.pause", "t1", "agent")),
        "an operator's entry without a deed": _add("audits", Audit("q9", "task.archive", "t1", "operator")),
        "an operator's deed that is said to be an agent's": _set("actions", 0, actor="operator"),
        "an entry of something else than was done": _add("audits", Audit("q1", "task.archive", "t1", "agent")),
    },
    "agents are kept apart": {"a run of another agent": _set("runs", 0, agent="a2")},
    "the database is whole": {
        "a row that a query found": lambda history: setattr(history, "integrity", {"a rule": [("r1",)]})
    },
}  # fmt: skip


def call_of_a_former_holder(history: History, *, at: float) -> None:
    """Worker 72 lost r1 at 1.7 s, and calls at `at` the step whose success another committed at 3 s."""
    claim = Change(30, _at(1.5), "30", "ordinaut worker 72 claims", "work", "UPDATE", "r1", owner="b2", epoch=4)
    lost = Change(31, _at(1.7), "31", "ordinaut host", "work", "UPDATE", "r1", was_owner="b2", was_epoch=4)
    _insert(history, *(replace(each, key="k", task="t1", is_exclusive=True) for each in (claim, lost)))
    called = _line("begin", at, epoch=4, kind="note", pid=72, worker=72)
    history.ledger = [*(replace(line, kind="note") for line in history.ledger), called]


def _fail_untidied(history: History) -> None:
    _set("runs", 0, state="failed", cause="permanent")(history)
    history.tidying = frozenset({"t1"})


def _deaths_beside_others(run: str, count: int) -> list[Change]:
    """Lost with its process so often, and never as the one that was tried alone: each orderly outcome cleared it."""
    claim = Change(30, _at(1.5), "30", "ordinaut worker 71 claims", "work", "UPDATE", run, owner="b1", epoch=1)
    lost = replace(claim, app="ordinaut host", owner=None, was_owner="b1", gate="suspect")
    cleared = replace(claim, app=_JOURNAL, owner=None)
    return [replace(each, id=30 + n) for n in range(count) for each in (claim, lost, cleared)]


def _quarantine(history: History, *changes: Change) -> None:
    _set("runs", 0, state="failed", cause="quarantined")(history)
    _insert(history, *changes)


def _insert(history: History, *changes: Change) -> None:
    """While r1 is live."""
    history.changes = [*history.changes[:2], *changes, *history.changes[2:]]


def judge_the_judge() -> list[str]:
    """What is wrong with the judge; empty where it accepts the sound history and catches everything planted."""
    wrong = [f"the sound history: {name}: {said}" for name, said in judge(sound()).items() if said]
    names = [each.name for each in INVARIANTS]
    wrong += [f"nothing is planted for {name!r}" for name in names if name not in PLANTED]
    wrong += [f"{name!r} is no invariant" for name in PLANTED if name not in names]
    for name, plants in PLANTED.items():
        for what, plant in plants.items():
            history = deepcopy(sound())
            plant(history)
            if not judge(history).get(name):
                wrong.append(f"{name}: {what} was not caught")
    return wrong
