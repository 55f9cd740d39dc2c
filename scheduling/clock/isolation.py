"""One bad schedule must not stop the batch: find it by halving, and deal with it alone.

What is done with the one that is found depends on whose fault it is (`faults`). Values that the database or our rules
refuse will be refused again: the schedule is quarantined. A lock that somebody holds, a statement that hangs, or a
mistake in this program says nothing about the schedule: it is *stepped over*, left due and unread for a while, and
tried again. What concerns the connection, the server or its tables concerns all, and is the caller's.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, TypeVar
from uuid import UUID

import structlog

from scheduling import conf
from scheduling.clock import metrics, session
from scheduling.clock.faults import Fault, fault_of, retried
from scheduling.clock.tries import Tries

logger = structlog.get_logger(__name__)

SEARCH_FOR = 8.0  # seconds that the search for who blocks may take in one pass
_FIRST_WAIT = 1.0  # seconds until a stepped-over schedule is tried again; doubles
_LONGEST_WAIT = 10.0
# Seconds until a task that somebody held is looked at again, which waits for nobody; and for so many of them a second
# more, or those that were met first would come back before a pass has got past all of them.
_HELD_WAIT = 1.0
_HELD_IN_A_SECOND = 1000
# Seconds past its wait, if it was not met again: another clock has fired it, or it is deleted. Suspects may have to
# wait for their turn as long.
_FORGOTTEN_AFTER = 5.0

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Suspect:
    """When it was tried, how long it is left alone each time, and until when it is this time."""

    tried_at: float
    wait: float
    until: float


class SteppedOver:
    """The schedules, and whole tasks, that a clock leaves alone for now, by id. Of this process: others may do better.

    Two kinds: *suspects*, that a time-out singled out, and tasks that somebody holds, which are left alone for a second
    each time, or longer where they are many. Bounded: past `limit` no more are added.
    """

    def __init__(self, *, limit: int = 20_000, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._hung = Tries(now=now)
        self._suspects: dict[UUID, _Suspect] = {}
        self._held: dict[UUID, float] = {}  # tasks, and until when
        self._waited_at: dict[UUID, float] = {}  # when a pass waited for a held task

    def add(self, ids: Iterable[UUID], *, hung: bool = False) -> None:
        """Leave them alone, longer each time that they are added again before they were `forgotten`. `hung`: a
        statement of theirs took too long."""
        for id_ in ids:
            known = self._suspects.get(id_)
            if known is not None or len(self._suspects) < self._limit:
                at = self._now()
                wait = _FIRST_WAIT if known is None else min(known.wait * 2, _LONGEST_WAIT)
                if hung:
                    wait = self._hung.hung(id_)
                self._suspects[id_] = _Suspect(tried_at=at, wait=wait, until=at + wait)
        metrics.STEPPED_OVER.set(len(self))

    def put_off(self, ids: Iterable[UUID]) -> None:
        """Leave suspects alone whose turn did not come, for a moment: what stands behind them is read meanwhile."""
        until = self._now() + _FIRST_WAIT
        for id_ in ids:
            if id_ in self._suspects:
                self._suspects[id_] = replace(self._suspects[id_], until=until)

    def hold(self, task: UUID) -> None:
        """Leave a task alone because somebody holds it."""
        if task in self._held or len(self._held) < self._limit:
            wait = min(max(len(self._held) / _HELD_IN_A_SECOND, _HELD_WAIT), _LONGEST_WAIT)
            self._held[task] = self._now() + wait
        metrics.STEPPED_OVER.set(len(self))

    def waited_for(self, task: UUID) -> None:
        """A pass has waited for a task that somebody held."""
        if len(self._waited_at) >= self._limit:
            self._waited_at.pop(next(iter(self._waited_at)))
        self._waited_at[task] = self._now()

    def waited_at(self, task: UUID) -> float:
        """When a pass has last waited for the held task; 0 where none has."""
        return self._waited_at.get(task, 0.0)

    def forget(self, ids: Iterable[UUID]) -> None:
        """They went through."""
        if self:
            for id_ in ids:
                self._suspects.pop(id_, None)
                self._held.pop(id_, None)
                self._hung.forget(id_)
            metrics.STEPPED_OVER.set(len(self))

    def now(self) -> list[UUID]:
        """Those that are left alone at this moment. A suspect that waited long enough is known, but not left alone."""
        if not self:
            return []
        at = self._now()
        self._suspects = {id_: each for id_, each in self._suspects.items() if at - each.until < _FORGOTTEN_AFTER}
        self._held = {task: until for task, until in self._held.items() if until > at}
        metrics.STEPPED_OVER.set(len(self))
        return [*(id_ for id_, each in self._suspects.items() if each.until > at), *self._held]

    def known(self) -> list[UUID]:
        """All suspects, and the tasks that are held."""
        return [*self._suspects, *self._held] if self else []

    def limit(self, *ids: UUID) -> timedelta:
        """How long a statement for them may take, which are suspects."""
        return self._hung.limit(*ids)

    @property
    def has_suspects(self) -> bool:
        """True where a time-out singled one out that has not gone through since."""
        return bool(self._suspects)

    def knows(self, *ids: UUID) -> bool:
        """True where one of them is a suspect and has not gone through since."""
        return any(id_ in self._suspects for id_ in ids)

    def tried_at(self, *ids: UUID) -> float:
        """When they were last tried, if one of them is a suspect; 0 where none is."""
        return max((self._suspects[id_].tried_at for id_ in ids if id_ in self._suspects), default=0.0)

    def leaves_alone(self, *ids: UUID) -> bool:
        """True where one of them is left alone at this moment."""
        at = self._now()
        return any(
            (id_ in self._suspects and self._suspects[id_].until > at) or self._held.get(id_, at) > at for id_ in ids
        )

    def seconds_to_next(self) -> float | None:
        """How long until one of them is tried again; None where none is left alone."""
        at = self._now()
        untils = [*(each.until for each in self._suspects.values()), *self._held.values()]
        return min((until - at for until in untils if until > at), default=None)

    def __len__(self) -> int:
        return len(self._suspects) + len(self._held)


class Search:
    """How long it is searched for who blocks, from the first time-out on. Several batches may share it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None
        self.error: Exception | None = None  # what it is searched for

    def begin(self, error: Exception) -> None:
        self.error = error
        if self._until is None:
            self._until = time.monotonic() + self._seconds

    @property
    def is_over(self) -> bool:
        return self._until is not None and time.monotonic() > self._until


class Isolation(Generic[Item, Result]):
    """How a batch is carried out: `fire` is one transaction for any of the items; the other two deal with one.

    `quarantine` and `step_over` get the item and the error, and return what is to be counted; so does `give_up`, with
    all items that were not tried when the search was over. Without it a time-out is the caller's then; but where
    others went through it is these items' own, and `suspect` gets them.
    """

    def __init__(
        self,
        *,
        fire: Callable[[Sequence[Item]], Result],
        quarantine: Callable[[Item, Exception], Result],
        step_over: Callable[[Item, Exception], Result],
        search: Search | None = None,
        give_up: Callable[[Sequence[Item], Exception], Result] | None = None,
        suspect: Callable[[Sequence[Item], Exception], Result] | None = None,
    ) -> None:
        self._fire = fire
        self._quarantine = quarantine
        self._step_over = step_over
        self._search = search or Search(SEARCH_FOR)
        self._give_up = give_up
        self._suspect = suspect
        self._has_fired = False
        self._size = 0  # of what hung first

    def run(self, items: Sequence[Item]) -> list[Result]:
        """Carry out all that can be, and return the results of the parts.

        An error that is nobody's own is raised, as is a time-out when the search for its cause takes too long, unless
        there is a way to `give_up`; what was carried out by then stays so, and the rest is still due.
        """
        if not items:
            return []
        if self._give_up is not None and self._search.error is not None and self._search.is_over:
            return [self._give_up(items, self._search.error)]
        try:
            fired = [retried(lambda: self._fire(items), seen=_count)]
            self._has_fired = True
            return fired
        except Exception as error:
            fault = fault_of(error)
            if fault.is_everywhere:
                raise
            _count(fault)
            if len(items) == 1:
                return [self._deal_with(items[0], error, fault)]
            if fault.is_contention:
                self._search.begin(error)
                if self._search.is_over and self._give_up is None:
                    if self._suspect is None or fault is not Fault.STATEMENT_TIMEOUT or not self._has_fired:
                        raise
                    return [self._suspect(items, error)]
            logger.warning("clock.batch_halved", schedules=len(items), fault=fault, detail=str(error).strip()[:300])
        middle = len(items) // 2
        if fault is Fault.STATEMENT_TIMEOUT:
            self._size = self._size or len(items)
        with session.hurried(), session.searching(self._limit(middle)) if self._size else nullcontext():
            return self.run(items[:middle]) + self.run(items[middle:])

    def _limit(self, items: int) -> timedelta:
        """How long a statement for so many may take in the search: half of their part of what was too little for all,
        so that a search takes about as long again. What is only slow goes through, in small parts."""
        full = conf.clock_statement_timeout() or timedelta(0)
        return max(full * items / self._size / 2, session.SEARCHING)

    def _deal_with(self, item: Item, error: Exception, fault: Fault) -> Result:
        return (self._quarantine if fault is Fault.REFUSED else self._step_over)(item, error)


def _count(fault: Fault) -> None:
    metrics.FAULTS.labels(fault.value).inc()
