"""The slots of a worker process: what is claimed, what runs, what waits for a slot, and how it all ends."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from scheduling.tasks.models import LOWEST_PRIORITY
from workers import tally as counted
from workers.briefing import Brief, Briefing
from workers.claim import Claimer
from workers.claimed import ClaimedRun
from workers.clock import WARNING
from workers.columns import Integers, Texts, Uuids
from workers.connection import Database, DatabaseUnavailable
from workers.doing import Doing
from workers.equipment import Equipment
from workers.execution import Execution, Stop
from workers.floors import lowest_among, slots_for_lowest
from workers.outage import Outage
from workers.points import reach
from workers.prefetch import Prefetch
from workers.statements import HOLD_BACK, REFUND, RELEASE, WATCH

logger = structlog.get_logger(__name__)

POLL = (0.5, 1.0)  # seconds between looks when idle, with jitter; a notification comes earlier
WATCH_EVERY = 0.5  # seconds between looks for cancellations
# Seconds: what becomes due one after the other is claimed several at a time.
SHORTEST_PAUSE = 0.005
SUSPECTS_EVERY = 1.0
STRAYS_EVERY = 60.0
LONGEST_TURN = 0.05  # seconds of starting runs until the loop looks at everything else
HURRY = timedelta(seconds=1)


class Pool:
    """Claims for `slots` slots and runs what it claimed, until `drain()` or `abort()`."""

    def __init__(
        self,
        *,
        boot_id: UUID,
        slots: int,
        claimer: Claimer,
        briefing: Briefing,
        database: Database,
        equipment: Equipment,
    ) -> None:
        self.slots = slots
        self._boot_id = boot_id
        self._claimer = claimer
        self._briefing = briefing
        self._database = database
        self._equipment = equipment
        self._running: dict[UUID, Execution] = {}
        self._waiting = Prefetch(slots=slots)
        self._wake = asyncio.Event()
        self._watch = asyncio.Event()
        self._emptied = asyncio.Event()
        self._will_fill = False
        self._is_draining = False
        self._is_hungry = True
        self._is_full_of_lowest = False
        self._suspects_at = 0.0
        self._kept_slots = 0  # 1 while a slot is kept for a suspect
        self._strays_at = time.monotonic()

    @property
    def running_count(self) -> int:
        return len(self._running)

    @property
    def free_slots(self) -> int:
        return self.slots - len(self._running)

    def doings(self) -> list[Doing]:
        """What each busy slot is at."""
        return [execution.doing() for execution in self._running.values()]

    def holds(self, run_id: UUID) -> bool:
        return run_id in self._running or any(brief.run.run_id == run_id for brief in self._waiting)

    def wake(self) -> None:
        """There may be something to claim."""
        self._is_hungry = True
        self._wake.set()

    def queues_have_changed(self) -> None:
        """A queue was paused, resumed, or is operated otherwise."""
        self._claimer.queues_have_changed()
        self.wake()

    def look_for_cancellations(self) -> None:
        """Somebody says that a run is to stop."""
        self._watch.set()

    async def run(self) -> None:
        """Claim and start until told to drain. A database that is away is waited for."""
        outage = Outage("claim.database_is_away")
        while not self._is_draining:
            try:
                if time.monotonic() - self._strays_at >= STRAYS_EVERY:
                    await self.let_strays_go()
                pause = await self.run_once()
            except DatabaseUnavailable as error:
                await outage.wait(error)
                await self._release_unknown(outage)
                continue
            outage.over()
            if pause:
                await self._sleep(pause)

    async def run_once(self) -> float:
        """Claim once, if there is room, and start what slots are free for; return the seconds until the next look."""
        self._wake.clear()
        await self._give_back(self._waiting.take_late(now=time.monotonic()))
        pause = random.uniform(*POLL)  # noqa: S311  # nosec B311 - jitter is no secret
        if self._is_to_look_for_suspect():
            await self._look_for_suspect()
        room = self._room()
        if not room:
            late_in = self._waiting.seconds_to_late(now=time.monotonic())
            return pause if late_in is None else min(pause, max(late_in, SHORTEST_PAUSE))
        reach("before-claim")
        lowest = self._room_for_lowest()
        claimed = await self._claimer.claim(limit=room, lowest=lowest)
        if claimed:
            reach("after-claim")
        self._is_hungry = len(claimed) == room
        self._is_full_of_lowest = lowest < room and lowest_among(claimed) >= lowest
        soon = self._claimer.look_in
        await self._take(claimed)
        if self._is_hungry and self._room():
            return 0.0
        if soon is not None:
            pause = min(pause, soon)
        return await self._until_next_due(pause)

    async def _until_next_due(self, pause: float) -> float:
        """The pause, or less where something becomes due before its end. Not asked where the next look is at once."""
        if self._wake.is_set() or not pause:
            return pause
        seconds = await self._claimer.seconds_to_next_due(within=pause)
        return pause if seconds is None else max(seconds, SHORTEST_PAUSE)

    async def let_strays_go(self) -> None:
        """Put back what is leased to this process and not known to it. Not while a claim is on its way.

        Looked for after every claim without an answer, and now and then: a statement that was given up may arrive
        later than that look, and nobody would ever miss what it leased to a process that lives.
        """
        self._strays_at = time.monotonic()
        held = [*self._running, *(brief.run.run_id for brief in self._waiting)]
        if strays := await self._claimer.release_unknown(held):
            logger.warning("claim.strays_let_go", runs=strays)

    async def watch(self) -> None:
        """Stop runs that are canceled or lost, within half a second and at once when told."""
        outage = Outage("watch.database_is_away")
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._watch.wait(), WATCH_EVERY)
            self._watch.clear()
            try:
                await self.watch_once()
            except DatabaseUnavailable as error:
                await outage.wait(error)
            else:
                outage.over()

    async def watch_once(self) -> None:
        held = {execution.claimed.run_id: execution.claimed.lease_epoch for execution in self._running.values()}
        held |= {brief.run.run_id: brief.run.lease_epoch for brief in self._waiting}
        if not held:
            return
        rows = await self._database.fetch(WATCH, {"run_ids": Uuids(held), "boot_id": self._boot_id})
        found = {(run_id, epoch): is_canceled for run_id, epoch, is_canceled in rows}
        for run_id, epoch in held.items():
            is_canceled = found.get((run_id, epoch))
            if is_canceled is not False:
                self._stop(run_id, epoch, Stop.LOST if is_canceled is None else Stop.CANCEL)

    def _stop(self, run_id: UUID, epoch: int, reason: Stop) -> None:
        execution = self._running.get(run_id)
        if execution is not None and execution.claimed.lease_epoch == epoch:
            # A run that is being settled has left the queue already; its acknowledgement is on the way.
            if not execution.is_settling:
                execution.stop(reason)
            return
        brief = self._waiting.remove(run_id)
        if brief is not None and reason is Stop.CANCEL:
            brief.run.is_cancel_requested = True
            self._start(brief)  # without a slot: it only settles

    def stop_claiming(self) -> None:
        """Have `run()` end."""
        self._is_draining = True
        self._wake.set()

    async def drain(self, grace: timedelta | None) -> None:
        """Give back what waits, let the rest run for `grace` (None: as long as it takes), hand back what is still
        running. After `run()` ended.

        Returns when everything is settled. Raises DatabaseUnavailable where it cannot be.
        """
        self.stop_claiming()
        await self._give_back(self._waiting.take_all())
        tasks = [execution.task for execution in self._running.values() if execution.task is not None]
        if tasks:
            seconds = None if grace is None else grace.total_seconds()
            logger.info("worker.draining", running=len(tasks), grace=seconds)
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for execution in list(self._running.values()):
                execution.stop(Stop.DRAIN)
            if late:
                await asyncio.wait(late)
        # Runs that only computed have no task; their settlements are on the way.
        while self._running:
            self._emptied.clear()
            await self._emptied.wait()

    async def release_all(self) -> None:
        """Put everything back at once, without a word in the journal, in one statement of at most a second."""
        self._is_draining = True
        held = Uuids([*self._running, *(brief.run.run_id for brief in self._waiting)])
        self.abort()
        if held:
            async with asyncio.timeout(HURRY.total_seconds()):
                await self._database.fetch(RELEASE, {"run_ids": held, "boot_id": self._boot_id, "handbacks": 1})

    def abort(self) -> None:
        """Drop everything and settle nothing."""
        self._is_draining = True
        self._waiting.take_all()
        for execution in list(self._running.values()):
            execution.stop(Stop.LOST)

    def _room(self) -> int:
        """How many to claim now: as many as there are free slots and places to wait; nothing while enough wait."""
        places = self._waiting.places(time.monotonic())
        if self._is_draining or len(self._waiting) > places // 2:
            return 0
        return max(0, self.free_slots - self._kept_slots + places - len(self._waiting))

    def _room_for_lowest(self) -> int:
        """How many of the lowest priority, that of backfills, may be claimed: they leave some slots to the others."""
        held = lowest_among(execution.claimed for execution in self._running.values())
        held += lowest_among(brief.run for brief in self._waiting)
        return max(0, slots_for_lowest(self.slots) - held)

    def _is_to_look_for_suspect(self) -> bool:
        """At most one is held, in a slot of its own, and looked for now and then: they are rare."""
        if self._is_draining or any(execution.claimed.is_suspect for execution in self._running.values()):
            return False
        if self._kept_slots and self.free_slots:
            return True
        return time.monotonic() - self._suspects_at >= SUSPECTS_EVERY

    async def _look_for_suspect(self) -> None:
        """Claim one and start it. Where no slot is free, and there is one, the next that becomes free is kept for it:
        what waits in line takes every slot at once, and under a backlog a suspect would find none."""
        self._suspects_at = time.monotonic()
        if not self.free_slots:
            self._kept_slots = int(await self._claimer.sees_suspect())
            return
        self._kept_slots = 1
        try:
            suspect = await self._claimer.claim_suspect()
            if suspect is not None:
                for brief in await self._brief([suspect]):
                    self._start(brief)
        finally:
            self._kept_slots = 0
        self._fill_slots()

    async def _take(self, claimed: Sequence[ClaimedRun]) -> None:
        """Brief what was claimed and start what slots are free for."""
        briefs = await self._brief(claimed)
        if briefs:
            self._waiting.add(briefs, now=time.monotonic())
            reach("after-brief")
            self._fill_slots()

    async def _brief(self, claimed: Sequence[ClaimedRun]) -> Sequence[Brief]:
        """What their slots have to know, of those that are to start. The others are put back."""
        paused = [run for run in claimed if run.is_paused]
        if paused:
            await self._hold_back(paused)
            claimed = [run for run in claimed if not run.is_paused]
        if not claimed:
            return ()
        self._equipment.tally[counted.CLAIMED] += len(claimed)
        self._equipment.clock.set(claimed[-1].read_at)
        if abs(self._equipment.clock.skew()) > WARNING:
            self._warn_of_skew()
        return await self._briefing.prepare(claimed)

    def _warn_of_skew(self) -> None:
        logger.debug("worker.clock_skew", seconds=round(self._equipment.clock.skew().total_seconds(), 3))

    def _fill_slots(self) -> None:
        """Start what slots are free for. Runs that only compute do so in here: after a moment the loop has its turn, or
        hundreds of them would keep the process from beating."""
        over_at = time.monotonic() + LONGEST_TURN
        while self._waiting and self.free_slots > self._kept_slots and not self._is_draining:
            if time.monotonic() > over_at:
                self._fill_slots_soon()
                return
            self._start(self._waiting.pop())

    def _start(self, brief: Brief) -> None:
        execution = Execution(brief, self._equipment)
        self._running[execution.claimed.run_id] = execution
        execution.start(self._finished)

    def _fill_slots_soon(self) -> None:
        """In the loop's next turn, once for all that end in this one."""
        if not self._will_fill:
            self._will_fill = True
            asyncio.get_running_loop().call_soon(self._fill_slots_now)

    def _fill_slots_now(self) -> None:
        self._will_fill = False
        self._fill_slots()

    def _finished(self, execution: Execution, error: BaseException | None) -> None:
        self._waiting.note_end()
        if self._running.get(execution.claimed.run_id) is execution:
            del self._running[execution.claimed.run_id]
            if not self._running:
                self._emptied.set()
        if execution.claimed.is_suspect:
            self._suspects_at = 0.0  # where there was one there may be more
            self.wake()
        if error is not None:
            logger.error("run.slot_failed", run=str(execution.claimed.run_id), exc_info=error)
            self._equipment.faults.note(f"a slot failed with run {execution.claimed.run_id}", error)
        self._fill_slots_soon()
        if (
            self._kept_slots
            or self._is_hungry
            or (self._is_full_of_lowest and execution.claimed.priority == LOWEST_PRIORITY)
        ):
            self._wake.set()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _give_back(self, run_ids: Sequence[UUID]) -> None:
        """Runs that never started go back as if they had not been claimed, and the tokens of their starts with them."""
        if not run_ids:
            return
        await self._refund(
            await self._database.fetch(RELEASE, {"run_ids": Uuids(run_ids), "boot_id": self._boot_id, "handbacks": 0})
        )

    async def _hold_back(self, paused: Sequence[ClaimedRun]) -> None:
        """Runs of tasks that were paused while a worker held them wait for the end of the pause from here on."""
        await self._refund(
            await self._database.fetch(
                HOLD_BACK,
                {
                    "run_ids": Uuids(run.run_id for run in paused),
                    "task_ids": Uuids({run.task_id for run in paused}),
                    "boot_id": self._boot_id,
                },
            )
        )

    async def _refund(self, given_back: Sequence[tuple[UUID, str, str | None]]) -> None:
        """The tokens of starts that did not come about go back, and the room under their keys is for others."""
        tokens: Counter[str] = Counter()
        for _, queue, key in given_back:
            tokens[f"queue:{queue}"] += 1
            if key is not None:
                tokens[f"key:{key}"] += 1
        if tokens:
            await self._database.fetch(REFUND, {"keys": Texts(tokens.keys()), "tokens": Integers(tokens.values())})
        for key in {key for _, _, key in given_back if key is not None}:
            self._equipment.gates.release(key=key)

    async def _release_unknown(self, outage: Outage) -> None:
        """After a claim that may have been committed without an answer: let go what this process does not know of."""
        while not self._is_draining:
            try:
                await self.let_strays_go()
            except DatabaseUnavailable as error:
                await outage.wait(error)
            else:
                return
