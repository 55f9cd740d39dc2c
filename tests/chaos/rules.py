"""What a rule is: a name, what it says, and how a history is held to it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.chaos.history import History
from tests.chaos.recorder import Change

SLACK = 1.5  # seconds: a process that was told to stop may begin another call before its loop turns
Check = Callable[[History], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Invariant:
    name: str
    says: str
    check: Check


INVARIANTS: list[Invariant] = []


def invariant(name: str, says: str) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        INVARIANTS.append(Invariant(name, says, check))
        return check

    return register


def changes_of_work(history: History) -> list[Change]:
    return [change for change in history.changes if change.what == "work"]


def worker_of(change: Change) -> int | None:
    """The pid of the worker process whose journal wrote this; None where another wrote it."""
    words = change.app.split()
    if words[:2] != ["ordinaut", "worker"] or words[3:] != ["journal"]:
        return None
    return int(words[2])
