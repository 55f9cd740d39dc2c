"""Lines of work side by side: started as there is room, ended by the first that decides, parked when all wait."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NoReturn

from pipelines.engine.branches import Branch, Going
from pipelines.engine.ports import Clock
from pipelines.engine.ways_out import Park, RunOver, Stopped, Succeed, WayOut
from pipelines.errors import PipelineError

Work = Callable[[Branch], Awaitable[Any]]
OnEnd = Callable[[int, Any], bool]  # the place of the work, and its result or PipelineError; true: it decides


class SideBySide:
    """Carries out several works, at most `at_once` of them at a time, for `owner`, the branch that waits for them.

    A work that parks keeps its place: it goes on when its time has come, as long as others keep the run here; one that
    has asked something waits for the run's next claim. Where all wait, `Park` is raised for the first whose time comes.
    Works can be begun again from the journal at any time. What is left `until` then is stopped, as if something had
    decided.
    """

    def __init__(
        self,
        works: Sequence[Work],
        *,
        at_once: int,
        clock: Clock,
        owner: Branch,
        on_end: OnEnd,
        until: datetime | None = None,
    ) -> None:
        self._works = works
        self._at_once = at_once
        self._clock = clock
        self._owner = owner
        self._on_end = on_end
        self._until = until
        self._upcoming: deque[int] = deque()
        self._tasks: dict[asyncio.Task[Any], int] = {}
        self._branches: dict[int, Branch] = {}
        self._parked: dict[int, Park] = {}

    async def run(self, places: Iterable[int]) -> bool:
        """Carry out the works of these places until all have ended (False) or one has decided: then the others are
        stopped, and have come to their end (True). Raises what ends the run, a failure of what a stopped one runs last
        and Park."""
        self._upcoming.extend(places)
        try:
            while self._upcoming or self._tasks or self._parked:
                if self._until is not None and self._clock.now() >= self._until:
                    await self._stop_the_rest()
                    return True
                self._start()
                if not self._tasks:
                    raise self._nearest()
                if self._take(await self._next_ends()):
                    await self._stop_the_rest()
                    return True
        except asyncio.CancelledError:
            await self._leave()
            raise
        except (Park, PipelineError):
            raise
        except WayOut:
            # Another may have ended the run in the same turn: the first one has.
            with contextlib.suppress(Succeed, RunOver):
                await self._stop_the_rest()
            raise
        except BaseException:
            await self._cut_off()
            raise
        return False

    async def leave(self, places: Iterable[int]) -> None:
        """Come to the end of works that were begun before and are given up, and of what they run last. See `run`."""
        await self._stop_the_rest(places)

    async def give_up(self, places: Iterable[int] = ()) -> NoReturn:
        """The same for a branch that is stopped itself, with what is at work. Raises Stopped, or what ends the run."""
        try:
            await self.leave(places)
        except PipelineError as error:
            raise Stopped(error) from error
        raise Stopped

    def _start(self) -> None:
        now = self._clock.now()
        for place in [place for place, park in self._parked.items() if park.until <= now and not park.asked]:
            del self._parked[place]
            self._begin(place, Branch())
        while self._upcoming and len(self._tasks) + len(self._parked) < self._at_once:
            self._begin(self._upcoming.popleft(), Branch())

    def _begin(self, place: int, branch: Branch) -> None:
        async def work() -> Any:
            # Not before: a task that is canceled ahead of its first step never takes one, and runs nothing last.
            branch.carried_out_by(asyncio.current_task())
            return await self._works[place](branch)

        self._tasks[asyncio.create_task(work())] = place
        self._branches[place] = branch

    def _nearest(self) -> Park:
        park = min(self._parked.values(), key=lambda park: park.until)
        if self._until is None or park.until <= self._until:
            return park
        return Park(self._until, park.path, asked=park.asked)

    async def _next_ends(self) -> list[asyncio.Task[Any]]:
        """The tasks that have ended, in the order of their places; none where a parked work is due first."""
        bound = [] if self._until is None else [self._until]
        until = min((*bound, *(park.until for park in self._parked.values() if not park.asked)), default=None)
        patience = None if until is None else max(0.0, (until - self._clock.now()).total_seconds())
        done, _ = await asyncio.wait(self._tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        return sorted(done, key=self._tasks.__getitem__)

    def _take(self, ended: Sequence[asyncio.Task[Any]]) -> bool:
        """Note how tasks have ended; True where one decides. Raises what ends the run."""
        ends = []
        for task in ended:
            place = self._tasks.pop(task)
            error = task.exception()
            if isinstance(error, Park):
                self._parked[place] = error
            elif error is not None and not isinstance(error, PipelineError):
                raise error
            else:
                ends.append((place, task.result() if error is None else error))
        return any(self._on_end(place, end) for place, end in ends)

    async def _stop_the_rest(self, begun_before: Iterable[int] = ()) -> None:
        """End what is at work, what is parked and what was `begun_before`, each with what it runs last. Raises the
        first failure of those."""
        for place in self._tasks.values():
            self._branches[place].stop()
        for place in (*begun_before, *self._parked):
            self._begin(place, Branch(Going.STOPPING))
        self._parked.clear()
        tasks = list(self._tasks)
        while self._tasks:
            try:
                done, _ = await asyncio.wait(self._tasks)
            except asyncio.CancelledError:
                if not self._owner.is_stopped:
                    await self._cut_off()
                    raise
                continue
            for task in done:
                del self._tasks[task]
        _raise_what_is_left([error for task in tasks if not task.cancelled() and (error := task.exception())])

    async def _leave(self) -> None:
        """The one that waits for all of this is canceled: in order where its branch is stopped. Raises Stopped then."""
        if not self._owner.is_stopped:
            await self._cut_off()
            return
        await self.give_up()

    async def _cut_off(self) -> None:
        """Cancel what is at work and wait for its end, however often that is canceled itself. Nothing runs last."""
        for branch in self._branches.values():
            branch.cut_off()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            try:
                done, _ = await asyncio.wait(self._tasks)
            except asyncio.CancelledError:
                continue
            for task in done:
                del self._tasks[task]
                if not task.cancelled():
                    task.exception()  # seen: what ends the run is raised by somebody else


def _raise_what_is_left(errors: Sequence[BaseException]) -> None:
    """Raise what works that were stopped leave: what ends the run, or the failure of what one ran last. One that failed
    by itself meanwhile has lost all the same."""
    for error in errors:
        if not isinstance(error, Stopped | PipelineError):
            raise error
    for error in errors:
        if isinstance(error, Stopped) and error.failure is not None:
            raise error.failure
