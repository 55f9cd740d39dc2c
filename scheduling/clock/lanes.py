"""Writing the plans of a pass, lane by lane (`planned.Lane`): what others hold delays those alone who need it.

Where a pass meets what somebody holds, it has three bounds, so that it is over soon and everything else fires again:

- Held tasks are passed over, all of them by one statement. A pass waits for some of them a moment each, those first
  for which it has not waited for longest: a task that is busy all the time would else never be met free.
- Schedules that a time-out singled out, the *suspects*, are written one by one, those first that were tried longest
  ago, while SUSPECTS_FOR lasts. The others are put off for a second, so that a pass reads what stands behind them.
- The search for who blocks a batch of the lane that waits ends after GIVE_UP_AFTER. Whoever is left is a suspect.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from uuid import UUID

import structlog

from scheduling.clock import metrics, session
from scheduling.clock.faults import Fault, fault_of
from scheduling.clock.isolation import SEARCH_FOR, Isolation, Search, SteppedOver
from scheduling.clock.planned import Lane, PassResult, Planned, total

logger = structlog.get_logger(__name__)

# Starts of one transaction: after days of downtime under the policy `all` each schedule may have hundreds.
STARTS_OF_TRANSACTION = 1000
GIVE_UP_AFTER = 0.5  # seconds
SUSPECTS_FOR = 0.5  # seconds
HELD_TASKS_FOR = 0.25  # seconds
# For a suspect, and for a task that somebody holds; and for a batch of those that may have to wait.
A_MOMENT = timedelta(milliseconds=50)
A_WHILE = timedelta(milliseconds=100)

Write = Callable[[Sequence[Planned]], PassResult]


@dataclass(frozen=True, slots=True)
class Ways:
    """How plans are written, each call a transaction: `plain` by one statement; `alone` by one too, one start of each
    task, and names those that are not; `passing` passes over the tasks that somebody holds, and names them; `patient`
    waits for them. `refused` sets one aside that the database refuses."""

    plain: Write
    alone: Write
    passing: Write
    patient: Write
    refused: Callable[[Planned, Exception], PassResult]


class Lanes:
    """One pass's writing. `left_alone` is the clock's own and remembers from pass to pass."""

    def __init__(self, ways: Ways, left_alone: SteppedOver) -> None:
        self._ways = ways
        self._left_alone = left_alone
        self._brief = Search(GIVE_UP_AFTER)
        self._suspects_until: float | None = None
        self._held_until: float | None = None

    def write(self, planned: Sequence[Planned]) -> list[PassResult]:
        """Write the plans, or step over them, and return the results of the parts.

        Errors that are nobody's own are the caller's, as is a time-out whose cause is not found where no plan should
        have to wait: what was written by then stays so, and the rest is still due.
        """
        lanes: dict[Lane, list[Planned]] = {lane: [] for lane in Lane}
        for item in planned:
            lanes[item.lane].append(item)
        long = Search(SEARCH_FOR)
        results = self._isolated(lanes[Lane.PLAIN], self._ways.plain, long)
        alone, others = self._alone(lanes[Lane.ALONE], among=planned)
        results += self._isolated(alone, self._ways.alone, self._brief)
        undecided = total(results).undecided
        for item in others + [item for item in alone if item.schedule.id in undecided]:
            lanes[item.deciding_lane].append(item)
        for part in in_parts(lanes[Lane.FREE]):
            results += self._isolated(part, self._ways.passing, long)
        for part in in_parts(tasks_together(lanes[Lane.EXCLUSIVE])):
            results += self._isolated(part, self._ways.passing, self._brief)
        if lanes[Lane.WAITING]:
            with session.hurried(A_WHILE):
                for part in in_parts(tasks_together(lanes[Lane.WAITING])):
                    results += self._isolated(part, self._ways.passing, self._brief)
        if held := total(results).held:
            results += self._wait_for([item for item in planned if item.schedule.task_id in held])
        return results

    def _alone(self, planned: Sequence[Planned], *, among: Sequence[Planned]) -> tuple[list[Planned], list[Planned]]:
        """Those that are the only start of their task in all of the pass and no suspects, and the others."""
        starts_of = Counter(item.schedule.task_id for item in among)
        alone: list[Planned] = []
        others: list[Planned] = []
        for item in planned:
            is_alone = starts_of[item.schedule.task_id] == 1 and not self._left_alone.knows(*item.ids)
            (alone if is_alone else others).append(item)
        return alone, others

    def _isolated(self, planned: Sequence[Planned], writer: Write, search: Search) -> list[PassResult]:
        """Write them together but for the suspects: they may well be blocked still, and come last and one by one."""
        left_alone = self._left_alone

        def write(items: Sequence[Planned]) -> PassResult:
            rest = [item for item in items if not left_alone.leaves_alone(*item.ids)] if left_alone else items
            written = writer(rest) if rest else PassResult()
            left_alone.forget(id_ for item in rest if item.schedule.task_id not in written.held for id_ in item.ids)
            return replace(written, stepped_over=written.stepped_over + len(items) - len(rest))

        together = Isolation(
            fire=write,
            quarantine=self._ways.refused,
            step_over=self._step_over,
            search=search,
            give_up=self._suspect_all if search is self._brief else None,
            suspect=self._suspect_all,
        )
        suspects = [item for item in planned if left_alone.knows(*item.ids)] if left_alone else []
        if not suspects:
            return together.run(planned)
        results = together.run([item for item in planned if not left_alone.knows(*item.ids)])
        if self._suspects_until is None:
            self._suspects_until = time.monotonic() + SUSPECTS_FOR
        suspects.sort(key=lambda item: left_alone.tried_at(*item.ids))
        alone = Isolation(fire=write, quarantine=self._ways.refused, step_over=self._step_over)
        with session.hurried(A_MOMENT):
            for place, item in enumerate(suspects):
                if time.monotonic() > self._suspects_until:
                    left_alone.put_off(id_ for each in suspects[place:] for id_ in each.ids)
                    results.append(PassResult(stepped_over=len(suspects) - place))
                    break
                with session.searching(left_alone.limit(*item.ids)):
                    results += alone.run([item])
        return results

    def _suspect_all(self, items: Sequence[Planned], error: Exception) -> PassResult:
        """Who blocks was not found among these in time: each is a suspect."""
        is_hung = fault_of(error) is Fault.STATEMENT_TIMEOUT
        self._left_alone.add({item.schedule.task_id for item in items}, hung=is_hung)
        logger.warning("clock.search_given_up", schedules=len(items), fault=fault_of(error))
        return PassResult(stepped_over=len(items))

    def _step_over(self, item: Planned, error: Exception) -> PassResult:
        fault = fault_of(error)
        # What a schedule waits for is its task, or a key of its task; what hangs may well be its task's, too.
        is_of_task = fault in (Fault.LOCK_TIMEOUT, Fault.STATEMENT_TIMEOUT)
        id_ = item.schedule.task_id if is_of_task else item.schedule.id
        self._left_alone.add([id_], hung=fault is Fault.STATEMENT_TIMEOUT)
        trace = error if fault is Fault.UNEXPECTED else None
        logger.warning("schedule.stepped_over", schedule=str(item.schedule.id), fault=fault, exc_info=trace)
        return PassResult(stepped_over=1)

    def _wait_for(self, planned: Sequence[Planned]) -> list[PassResult]:
        """Of plans that were passed over because somebody held their tasks, write those that come free in a moment,
        as long as there is time; the others are left alone."""
        if self._held_until is None:
            self._held_until = time.monotonic() + HELD_TASKS_FOR
        results: list[PassResult] = []
        in_vain: list[UUID] = []
        with session.hurried(A_MOMENT):
            for items in self._by_task(planned):
                task = items[0].schedule.task_id
                if time.monotonic() > self._held_until or not self._is_written(items, results):
                    self._left_alone.hold(task)
                    in_vain.append(task)
        if in_vain:
            logger.warning("clock.tasks_are_held", tasks=len(in_vain), among_them=[str(task) for task in in_vain[:5]])
        return results

    def _is_written(self, items: Sequence[Planned], results: list[PassResult]) -> bool:
        """Write the plans of one task as soon as it is free; False where somebody holds it for longer than a moment."""
        self._left_alone.waited_for(items[0].schedule.task_id)
        try:
            written = self._ways.patient(items)
        except Exception as error:
            fault = fault_of(error)
            if fault.is_everywhere:
                raise
            metrics.FAULTS.labels(fault.value).inc()
            if not fault.is_contention:
                # Whoever is to blame is dealt with in a batch, once the task is free.
                logger.exception("clock.held_task_not_written", task=str(items[0].schedule.task_id), fault=fault)
            return False
        self._left_alone.forget(id_ for item in items for id_ in item.ids)
        # They were counted as stepped over.
        results.append(replace(written, stepped_over=written.stepped_over - len(items)))
        return True

    def _by_task(self, planned: Sequence[Planned]) -> Iterator[list[Planned]]:
        """A part for each task, those first for which nobody has waited for longest; a task's plans in their order."""
        in_order = sorted(
            planned, key=lambda item: (self._left_alone.waited_at(item.schedule.task_id), item.schedule.task_id)
        )
        for _, items in groupby(in_order, key=lambda item: item.schedule.task_id):
            yield in_parts(list(items))[0]


def tasks_together(planned: Sequence[Planned]) -> list[Planned]:
    """The plans of each task one after the other, the tasks in the order in which they first come."""
    of_task: dict[UUID, list[Planned]] = {}
    for item in planned:
        of_task.setdefault(item.schedule.task_id, []).append(item)
    return [item for items in of_task.values() for item in items]


def in_parts(planned: Sequence[Planned]) -> list[list[Planned]]:
    """Parts of about so many starts as a transaction takes: schedules that stand one after the other and are of one
    exclusive task are not parted, since their policy decides on the occurrences of all of them in their order."""
    parts: list[list[Planned]] = []
    room = 0
    for item in planned:
        is_bound = item.schedule.is_exclusive and bool(parts) and _task_of(item) == _task_of(parts[-1][-1])
        if not parts or (room < len(item.plan.fire) and not is_bound):
            parts.append([])
            room = STARTS_OF_TRANSACTION
        parts[-1].append(item)
        room -= len(item.plan.fire)
    return parts


def _task_of(item: Planned) -> UUID:
    return item.schedule.task_id
