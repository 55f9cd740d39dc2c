"""Where the clock's looks at the marks may begin.

Under a snapshot that somebody holds (a dump, a forgotten transaction), every mark that was moved leaves an entry in the
index that cannot be vacuumed, and each look would go through all of them: 0.3 µs an entry and look. So a look begins a
little before the instant up to which an earlier one found nothing due. What does come in below (a late commit, a mark
that somebody set into the past) is found by a look from the beginning; those take no more than a twentieth of the time,
so that without such entries nearly every look is one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

_MARGIN = timedelta(seconds=1)  # a transaction that sets a mark seldom takes longer
_PAUSES = 20  # a look from the beginning is followed by so many times its own duration without one


class Horizon:
    """One clock's, for its own thread."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._settled_until: datetime | None = None
        self._next_at: dict[str, float] = {}  # of each kind of look, when it may begin at the beginning again

    def settled(self, until: datetime | None) -> None:
        """Nothing was left due at `until` by the database's clock; None where something was."""
        self._settled_until = until

    @contextmanager
    def look(self, kind: str) -> Iterator[datetime | None]:
        """The mark from which on to look, in the block that does so; None for the beginning."""
        began = self._now()
        if self._settled_until is not None and began < self._next_at.get(kind, began):
            yield self._settled_until - _MARGIN
            return
        yield None
        ended = self._now()
        self._next_at[kind] = ended + (ended - began) * _PAUSES
