"""How often, and for how long, a clock tries again what has hung.

A statement that hangs is ended after a while, and all that the clock does waits as long. So what has hung once is tried
alone and briefly, ever more seldom. It may only be slow: each try may take twice as long as the one before, up to the
setting's limit. Such long tries are rare, however many things hang: one leaves twenty times its length free of others.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from scheduling import conf
from scheduling.clock.session import SEARCHING

_WAITS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)  # seconds, by the number of tries
_FREE_OF_LONG = 20  # times the length of a long try
_FORGOTTEN_AFTER = 600.0  # seconds past its wait: it is deleted, or another clock has seen to it
_MOST = 20_000


@dataclass(frozen=True, slots=True)
class _Known:
    tries: int
    until: float


class Tries:
    """What has hung, by id, in this process. `base` is how long the first try again may take."""

    def __init__(self, *, base: timedelta = SEARCHING, now: Callable[[], float] = time.monotonic) -> None:
        self._base = base
        self._now = now
        self._known: dict[UUID, _Known] = {}
        self._long_at = 0.0

    def hung(self, key: UUID) -> float:
        """It has hung; returns for how many seconds it is left alone."""
        known = self._known.get(key)
        tries = 1 if known is None else known.tries + 1
        wait = _WAITS[min(tries, len(_WAITS)) - 1]
        if known is not None or len(self._known) < _MOST:
            self._known[key] = _Known(tries, self._now() + wait)
        return wait

    def forget(self, key: UUID) -> None:
        """It went through."""
        self._known.pop(key, None)

    def known(self) -> list[UUID]:
        """All that has hung and not gone through since."""
        at = self._now()
        self._known = {key: each for key, each in self._known.items() if at - each.until < _FORGOTTEN_AFTER}
        return list(self._known)

    def due(self) -> list[UUID]:
        """Those of them that may be tried again, the one that has waited for longest first."""
        at = self._now()
        ready = [(each.until, key) for key, each in self._known.items() if each.until <= at]
        return [key for _, key in sorted(ready)]

    def is_left_alone(self, key: UUID) -> bool:
        known = self._known.get(key)
        return known is not None and known.until > self._now()

    def limit(self, *keys: UUID) -> timedelta:
        """How long a statement of the next try may take; asking for a long one uses it up."""
        tries = max((self._known[key].tries for key in keys if key in self._known), default=1)
        wanted: timedelta = self._base * int(2 ** min(tries - 1, 20))
        if full := conf.clock_statement_timeout():
            wanted = min(wanted, full)
        if wanted <= self._base:
            return wanted
        at = self._now()
        if at < self._long_at:
            return self._base
        self._long_at = at + wanted.total_seconds() * _FREE_OF_LONG
        return wanted
