"""Runs that are leased and wait for a slot: how many may, and for how long.

A process claims ahead, so that a slot that becomes free does not wait for a claim. But what it holds no other process
can start: it claims no more ahead than its slots will start in a moment, judged by how fast runs have ended lately, and
gives back what has waited longer than that all the same.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from uuid import UUID

from workers.briefing import Brief

MOST = 50
AHEAD = 0.25  # seconds of starts that are claimed ahead
LONGEST_WAIT = 1.0  # seconds
_MEMORY = 1.0  # seconds after which an end counts for a third in the pace


class Prefetch:
    """The line before the slots of one process. `now` is `time.monotonic()`."""

    def __init__(self, *, slots: int) -> None:
        # None with one slot, so that the order of the starts is strict.
        self._most = 0 if slots == 1 else min(slots, MOST)
        self._line: deque[tuple[float, Brief]] = deque()
        self._pace = 0.0  # ends a second
        self._ends = 0
        self._measured_at = 0.0

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[Brief]:
        return (brief for _, brief in self._line)

    def add(self, briefs: Iterable[Brief], *, now: float) -> None:
        self._line.extend((now, brief) for brief in briefs)

    def pop(self) -> Brief:
        """The one that came first."""
        return self._line.popleft()[1]

    def remove(self, run_id: UUID) -> Brief | None:
        """Take this run out of the line; None where it is not in it."""
        for entry in self._line:
            if entry[1].run.run_id == run_id:
                self._line.remove(entry)
                return entry[1]
        return None

    def take_all(self) -> list[UUID]:
        taken = [brief.run.run_id for brief in self]
        self._line.clear()
        return taken

    def take_late(self, *, now: float) -> list[UUID]:
        """Take out what has waited too long. The pace was believed too high then: nothing waits until slots end."""
        late = []
        while self._line and now - self._line[0][0] >= LONGEST_WAIT:
            late.append(self.pop().run.run_id)
        if late:
            self._pace, self._ends = 0.0, 0
        return late

    def seconds_to_late(self, *, now: float) -> float | None:
        """Until the first has waited too long; None where none waits."""
        return max(0.0, self._line[0][0] + LONGEST_WAIT - now) if self._line else None

    def note_end(self) -> None:
        """A slot has become free."""
        self._ends += 1

    def places(self, now: float) -> int:
        """How many may wait: as many as will be started in a moment, if runs go on to end as fast as of late."""
        elapsed = now - self._measured_at
        self._pace = self._pace * math.exp(-elapsed / _MEMORY) + self._ends / max(_MEMORY, elapsed)
        self._ends, self._measured_at = 0, now
        return min(self._most, round(self._pace * AHEAD))
