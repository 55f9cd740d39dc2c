"""How a claim is shared: between queues by weight, and between the agents of a fair queue in turn. Pure."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TypeVar
from uuid import UUID

Item = TypeVar("Item")

NOBODY = UUID(int=0)  # before every agent


def by_largest_remainder(total: int, wanted: Mapping[str, float]) -> dict[str, int]:
    """Whole shares that add up to `total`, each near what is wanted (which adds up to about `total`)."""
    given = {name: max(0, floor(share)) for name, share in wanted.items()}
    order = sorted(wanted, key=lambda name: given[name] - wanted[name])  # greatest remainder first
    missing = total - sum(given.values())
    step = 1 if missing > 0 else -1
    while missing:
        for name in order if step > 0 else reversed(order):
            if missing and given[name] + step >= 0:
                given[name] += step
                missing -= step
    return given


class Shares:
    """Deals claims to queues by weight. What a whole number could not give is remembered for the next claim, so that a
    light queue gets its turn even where every claim is for one run."""

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def deal(self, limit: int, weights: Mapping[str, int]) -> dict[str, int]:
        """The shares of a claim; queues that are not in it lose what they had to get."""
        total = sum(weights.values())
        wanted = {name: limit * weight / total + self._credit.get(name, 0.0) for name, weight in weights.items()}
        given = by_largest_remainder(limit, wanted)
        self._credit = {name: min(1.0, max(-1.0, wanted[name] - given[name])) for name in weights}
        return given

    def divide(self, rest: int, weights: Mapping[str, int]) -> dict[str, int]:
        """What others could not use, shared among those that may have more. Not remembered."""
        total = sum(weights.values())
        return by_largest_remainder(rest, {name: rest * weight / total for name, weight in weights.items()})

    def forget(self, name: str) -> None:
        """The queue has nothing more: it is owed nothing."""
        self._credit.pop(name, None)


@dataclass(frozen=True, slots=True)
class FairHead:
    """The head of one agent's rows of one priority, in the order of the columns of `fair_heads`."""

    agent_id: UUID
    priority: int
    available_at: object
    is_due: bool


def quota_of(limit: int, agents: int) -> int:
    """How many rows an agent can get at most when `limit` are dealt to so many."""
    return ceil(limit / agents)


def last_served(served: Iterable[UUID], order: Sequence[UUID]) -> UUID:
    """Who was the last to get a row, when rows were dealt in rounds in this order."""
    counts = Counter(served)
    most = max(counts[agent] for agent in order)
    return [agent for agent in order if counts[agent] == most][-1]


def in_turn(items: Iterable[tuple[UUID, Item]]) -> list[Item]:
    """Items of agents, one of each agent in turn; each agent's keep their order."""
    waiting: dict[UUID, deque[Item]] = {}
    for agent, item in items:
        waiting.setdefault(agent, deque()).append(item)
    dealt: list[Item] = []
    while waiting:
        for agent in list(waiting):
            dealt.append(waiting[agent].popleft())
            if not waiting[agent]:
                del waiting[agent]
    return dealt
