"""How fast a backlog goes: read while others work on it, by whoever counts what is left."""

import time
from collections.abc import Callable
from dataclasses import dataclass

_LOOKS_EVERY = 0.1
# The ends of a backlog say more of starting and stopping than of working.
_FROM, _TO = 0.1, 0.9


class TooSlow(Exception):
    """The backlog was not worked off in its time."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate` is in jobs a second, between a tenth and nine tenths of the backlog."""

    rate: float
    done: int


def pace_of(left: Callable[[], int], *, total: int, within: float) -> Pace:
    """Watch `left()` fall from `total` to nothing. TooSlow where that takes more than `within` seconds, and a rate of
    what was done where at least a fifth was.
    """
    ends_at = time.monotonic() + within
    seen: list[tuple[float, int]] = []
    while True:
        remaining = left()
        seen.append((time.monotonic(), total - remaining))
        if not remaining or time.monotonic() > ends_at:
            break
        time.sleep(_LOOKS_EVERY)
    done = seen[-1][1]
    inner = [(at, count) for at, count in seen if _FROM * done <= count <= _TO * done]
    if done < total / 5 or len(inner) < 3:
        raise TooSlow(f"{done} of {total} jobs in {within:.0f} s")
    (first_at, first), (last_at, last) = inner[0], inner[-1]
    return Pace(rate=(last - first) / (last_at - first_at), done=done)
