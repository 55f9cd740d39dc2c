"""Where the clock's looks at the marks may begin.

Under a snapshot that somebody holds (a dump, a forgotten transaction), every mark that was moved leaves an entry in the
index that cannot be vacuumed, and each look would go through all of them: 0.3 µs an entry and look. So a look begins a
little before the instant up to which an earlier one found nothing due. What does come in below (a late commit, a mark
that somebody set into the past) is found by a look from the beginning. Without such entries nearly every look is one:
they may take a twentieth of the time. With them, one that takes long comes after two seconds at the latest; and at once
where a change of schedules was told, but never for more than half of the time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

_MARGIN = timedelta(seconds=1)  # a transaction that sets a mark seldom takes longer
_PAUSES = 20  # a look from the beginning is followed by so many times its own duration without one,
_LONGEST = 2.0  # by no more than so many seconds,
_LEAST = 1  # and by no less than so many times its duration


@dataclass(frozen=True, slots=True)
class _Look:
    """The last look from the beginning, by the monotonic clock."""

    began: float
    ended: float

    def next_at(self, *, is_told: bool) -> float:
        """When the next may begin."""
        took = self.ended - self.began
        return self.ended + (took * _LEAST if is_told else max(min(took * _PAUSES, _LONGEST), took * _LEAST))


class Horizon:
    """One clock's, for its own thread."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._settled_until: datetime | None = None
        self._told_at = 0.0
        self._looks: dict[str, _Look] = {}  # by their kinds

    def settled(self, until: datetime | None) -> None:
        """Nothing was left due at `until` by the database's clock; None where something was."""
        self._settled_until = until

    def told(self) -> None:
        """Somebody has changed schedules, and may have set a mark anywhere."""
        self._told_at = self._now()

    @contextmanager
    def look(self, kind: str) -> Iterator[datetime | None]:
        """The mark from which on to look, in the block that does so; None for the beginning."""
        began = self._now()
        last = self._looks.get(kind)
        is_early = last is not None and began < last.next_at(is_told=self._told_at >= last.began)
        if self._settled_until is not None and is_early:
            yield self._settled_until - _MARGIN
            return
        yield None
        self._looks[kind] = _Look(began, self._now())
