"""One bad schedule must not stop the batch: find it by halving, and deal with it alone.

What is done with the one that is found depends on whose fault it is (`faults`). Values that the database or our rules
refuse will be refused again: the schedule is quarantined. A lock that somebody holds, a statement that hangs, or a
mistake in this program says nothing about the schedule: it is *stepped over*, left due and unread for a while, and
tried again. What concerns the connection, the server or its tables concerns all, and is the caller's.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar
from uuid import UUID

import structlog

from scheduling.clock import metrics, session
from scheduling.clock.faults import Fault, fault_of, retried

logger = structlog.get_logger(__name__)

SEARCH_FOR = 5.0  # seconds that the search for who blocks may take in one pass
_FIRST_WAIT = 1.0  # seconds until a stepped-over schedule is tried again; doubles
_LONGEST_WAIT = 10.0
_FORGOTTEN_AFTER = 2.0  # seconds past its wait, if it was not met again: another clock has fired it, or it is deleted

Item = TypeVar("Item")
Result = TypeVar("Result")


class SteppedOver:
    """The schedules, and whole tasks, that a clock leaves alone for now, by id. Of this process: others may do better.

    Bounded: past `limit` no more are added, and the caller's pass fails as a whole.
    """

    def __init__(self, *, limit: int = 1000, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._waits: dict[UUID, tuple[float, float]] = {}  # until when, and how long that was

    def add(self, ids: Iterable[UUID]) -> None:
        """Leave them alone, longer each time that they are added again before they were `forgotten`."""
        for id_ in ids:
            if id_ in self._waits or len(self._waits) < self._limit:
                _, last = self._waits.get(id_, (0.0, _FIRST_WAIT / 2))
                wait = min(last * 2, _LONGEST_WAIT)
                self._waits[id_] = (self._now() + wait, wait)
        metrics.STEPPED_OVER.set(len(self._waits))

    def forget(self, ids: Iterable[UUID]) -> None:
        """They went through."""
        if self._waits:
            for id_ in ids:
                self._waits.pop(id_, None)
            metrics.STEPPED_OVER.set(len(self._waits))

    def now(self) -> list[UUID]:
        """Those that are left alone at this moment. One that waited long enough is known, but not left alone."""
        if not self._waits:
            return []
        at = self._now()
        self._waits = {
            id_: (until, wait) for id_, (until, wait) in self._waits.items() if at - until < _FORGOTTEN_AFTER
        }
        metrics.STEPPED_OVER.set(len(self._waits))
        return [id_ for id_, (until, _) in self._waits.items() if until > at]

    def knows(self, *ids: UUID) -> bool:
        """True where one of them was stepped over and has not gone through since."""
        return any(id_ in self._waits for id_ in ids)

    def leaves_alone(self, *ids: UUID) -> bool:
        """True where one of them is left alone at this moment."""
        at = self._now()
        return any(id_ in self._waits and self._waits[id_][0] > at for id_ in ids)

    def seconds_to_next(self) -> float | None:
        """How long until one of them is tried again; None where none is left alone."""
        at = self._now()
        return min((until - at for until, _ in self._waits.values() if until > at), default=None)

    def __len__(self) -> int:
        return len(self._waits)


class Isolation(Generic[Item, Result]):
    """How a batch is carried out: `fire` is one transaction for any of the items; the other two deal with one.

    `quarantine` and `step_over` get the item and the error, and return what is to be counted.
    """

    def __init__(
        self,
        *,
        fire: Callable[[Sequence[Item]], Result],
        quarantine: Callable[[Item, Exception], Result],
        step_over: Callable[[Item, Exception], Result],
    ) -> None:
        self._fire = fire
        self._quarantine = quarantine
        self._step_over = step_over
        self._search_until: float | None = None

    def run(self, items: Sequence[Item]) -> list[Result]:
        """Carry out all that can be, and return the results of the parts.

        An error that is nobody's own is raised, as is a time-out when the search for its cause takes too long; what
        was carried out by then stays so, and the rest is still due.
        """
        if not items:
            return []
        try:
            return [retried(lambda: self._fire(items), seen=_count)]
        except Exception as error:
            fault = fault_of(error)
            if fault.is_everywhere:
                raise
            _count(fault)
            if len(items) == 1:
                return [self._deal_with(items[0], error, fault)]
            if fault.is_contention and self._is_searched_for_long():
                raise
            logger.warning("clock.batch_halved", schedules=len(items), fault=fault, detail=str(error).strip()[:300])
        middle = len(items) // 2
        with session.hurried():
            return self.run(items[:middle]) + self.run(items[middle:])

    def _deal_with(self, item: Item, error: Exception, fault: Fault) -> Result:
        return (self._quarantine if fault is Fault.REFUSED else self._step_over)(item, error)

    def _is_searched_for_long(self) -> bool:
        if self._search_until is None:
            self._search_until = time.monotonic() + SEARCH_FOR
        return time.monotonic() > self._search_until


def _count(fault: Fault) -> None:
    metrics.FAULTS.labels(fault.value).inc()
