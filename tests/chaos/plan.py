"""What befalls a round, and when: the seed's decision. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

# Kinds by lane: inside of a lane one fault ends before the next begins; lanes know nothing of one another, so that
# faults of different lanes meet. The number is how often a kind is drawn.
LANES: dict[str, dict[str, int]] = {
    "workers": {
        "worker.kill": 5,
        "worker.freeze": 3,
        "host.freeze": 4,
        "host.kill": 3,
        "host.drain": 4,
        "host.hurry": 3,
        "host.point": 6,
        "host.drain_locked": 3,
    },
    "clocks": {"clock.kill": 4, "clock.freeze": 3, "clock.point": 4, "clock.jump": 3},
    "database": {
        "postgres.kill": 3,
        "postgres.immediate": 2,
        "postgres.fast": 3,
        "backends.terminate": 5,
        "rows.locked": 4,
        "table.locked": 3,
        "table.locked_long": 3,
        "database.read_only": 2,
        "statements.timed_out": 4,
        "schedule.hangs": 3,
    },
    "network": {
        "network.reset": 4,
        "network.half_open": 4,
        "network.one_way": 4,
        "network.slow": 5,
        "pooler.kill": 4,
        "pooler.pause": 3,
    },
    "redis": {"redis.kill": 2, "redis.empty": 2},
}
KINDS = tuple(kind for kinds in LANES.values() for kind in kinds)
OF_POOLER = tuple(kind for kind in KINDS if kind.startswith("pooler."))
# The pause between two faults of a lane, in seconds.
_PAUSES = {"workers": (1.0, 5.0), "clocks": (3.0, 9.0), "database": (4.0, 12.0), "network": (3.0, 10.0)}
_PAUSE = (8.0, 20.0)
# How long a fault lasts at most, in multiples of the reap time; kinds that are not named are over at once.
_LASTS = {
    "worker.freeze": (0.2, 1.2),
    "host.freeze": (0.8, 1.8),
    "host.kill": (0.05, 0.4),
    "host.point": (1.1, 1.9),
    "host.drain_locked": (0.67, 1.78),  # 3 to 8 s
    "clock.kill": (0.05, 0.6),
    "clock.freeze": (0.2, 1.2),
    "clock.point": (0.3, 1.0),
    "clock.jump": (0.3, 1.0),
    "postgres.kill": (0.05, 0.8),
    "postgres.immediate": (0.05, 0.8),
    "postgres.fast": (0.05, 0.8),
    "rows.locked": (0.1, 1.2),
    "table.locked": (0.1, 0.9),
    "table.locked_long": (0.67, 1.78),
    "database.read_only": (0.1, 0.9),
    "statements.timed_out": (0.2, 1.2),
    "schedule.hangs": (0.5, 3.0),
    "network.half_open": (0.2, 1.4),
    "network.one_way": (0.2, 1.4),
    "network.slow": (0.3, 1.4),
    "pooler.kill": (0.05, 0.4),
    "pooler.pause": (0.1, 1.0),
    "redis.kill": (0.3, 1.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`at`: seconds from the start of the load. `seconds`: how long it lasts. `seed`: decides the victim."""

    at: float
    kind: str
    seconds: float
    seed: int


def wanted(only: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds that begin with one of `only`, all where it is empty."""
    return tuple(kind for kind in KINDS if not only or kind.startswith(only))


def needs_pooler(only: tuple[str, ...]) -> bool:
    """Whether a round of these kinds can have no fault without a pooler."""
    return set(wanted(only)) <= set(OF_POOLER)


def why_none(only: tuple[str, ...], left_out: Mapping[str, str], *, seconds: float) -> str:
    """Why `draw` has drawn no fault of these kinds. `left_out`: the reason for each kind that cannot be done."""
    possible = [kind for kind in wanted(only) if kind not in left_out]
    if possible:
        return f"the seed draws none of {', '.join(possible)} within {seconds:g} s: give more --seconds"
    return "; ".join(f"{kind} is left out ({left_out[kind]})" for kind in wanted(only))


def draw(seed: int, *, seconds: float, reap_after: float, without: frozenset[str] = frozenset()) -> list[Fault]:
    """The faults of a round of `seconds`, in order of time. `without`: kinds that this machine cannot do."""
    faults = [
        fault
        for lane, kinds in LANES.items()
        for fault in _lane(
            Random(f"{seed} {lane}"),
            {kind: weight for kind, weight in kinds.items() if kind not in without},
            pause=_PAUSES.get(lane, _PAUSE),
            seconds=seconds,
            reap_after=reap_after,
        )
    ]
    return sorted(faults, key=lambda fault: (fault.at, fault.kind))


def _lane(
    rng: Random, kinds: dict[str, int], *, pause: tuple[float, float], seconds: float, reap_after: float
) -> Iterator[Fault]:
    at = rng.uniform(0, pause[1])
    bag: list[str] = []
    while at < seconds and kinds:
        if not bag:  # every kind as often as its weight says before any is drawn again
            bag = [kind for kind, weight in sorted(kinds.items()) for _ in range(weight)]
            rng.shuffle(bag)
        kind = bag.pop()
        lasts = rng.uniform(*_LASTS[kind]) * reap_after if kind in _LASTS else 0.0
        yield Fault(at=round(at, 2), kind=kind, seconds=round(lasts, 2), seed=rng.randrange(2**32))
        at += lasts + rng.uniform(*pause)
