"""The life of a worker process: register, work under its pulse, and end in one of four ways (see `workers.exits`)."""

import asyncio
import logging
import os
import platform
import socket
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

import structlog

from pipelines.conf import isolated_processes, vault
from pipelines.servers.offers import host_catalog
from pipelines.tools.isolation import Isolation
from pipelines.tools.own_task import abandoned
from pipelines.tools.threads import overstayed
from scheduling.instants import boottime
from workers import conf, exits
from workers.briefing import Briefing
from workers.claim import Claimer
from workers.clock import DatabaseClock
from workers.columns import Texts
from workers.connection import Database, DatabaseUnavailable, conninfo
from workers.doing import told
from workers.equipment import Equipment
from workers.faults import Faults
from workers.gates import GateKeeper
from workers.journal import JournalWriter
from workers.offer_watch import OfferWatch
from workers.outage import Outage
from workers.pool import Pool
from workers.pulse import Message, Pulse
from workers.release import release_name
from workers.row_writes import LockedRows, RowWrite, outcome
from workers.secrets import SecretReader
from workers.statements import CHANGE_STATE, REGISTER
from workers.tally import Tally

logger = structlog.get_logger(__name__)

CLOSE_WITHIN = 2.0  # seconds
CLAIMING_ENDS_WITHIN = 2.0
TRIES_TO_TELL_FOR = 1.0
LOCKED_ROW_EVERY = 0.2
_TOOLS_TOLD = 5
_BY_SIGNAL = "its host told it to stop"
_AT_ONCE = "its host told it to stop at once"


class Identity(Protocol):
    """Who the supervisor says this process is."""

    @property
    def boot_id(self) -> UUID: ...

    @property
    def supervisor_id(self) -> UUID: ...


class WorkerProcess:
    """Everything of one process, put together. `run()` returns the exit code; `ask_to_stop()` from a signal."""

    def __init__(self, channel: socket.socket, identity: Identity, *, queues: list[str], slots: int) -> None:
        self._identity = identity
        self._queues = queues
        self._tally: Tally = Counter()
        self._faults = Faults()
        self._locked = LockedRows()
        self._stops_asked = 0
        self._stop_asked = asyncio.Event()
        self._hurry_asked = asyncio.Event()
        self._linger_asked = asyncio.Event()
        address = conninfo()
        name = f"ordinaut worker {os.getpid()}"
        limit = conf.abort_after()
        self._claims = Database(name=f"{name} claims", address=address, limit=limit)
        self._writes = Database(name=f"{name} journal", address=address, limit=limit)
        self._pulse = Pulse(
            channel,
            boot_id=identity.boot_id,
            abort_after=conf.abort_after(),
            report=self._report,
            hear=self._hear,
        )
        self._writer = JournalWriter(
            self._writes,
            boot_id=identity.boot_id,
            may_write=lambda: not self._pulse.is_late,
            tally=self._tally,
        )
        self._isolation = Isolation(size=isolated_processes() or slots)
        self._gates = GateKeeper()
        self._offers = OfferWatch(self._claims, host_catalog())
        self._pool = Pool(
            boot_id=identity.boot_id,
            slots=slots,
            claimer=Claimer(self._claims, boot_id=identity.boot_id, queues=queues),
            briefing=Briefing(self._claims, catalog=host_catalog()),
            database=self._claims,
            equipment=Equipment(
                writer=self._writer,
                catalog=host_catalog(),
                isolation=self._isolation,
                clock=DatabaseClock(),
                gates=self._gates,
                tally=self._tally,
                secrets=SecretReader(self._claims, vault()),
                faults=self._faults,
            ),
        )

    def ask_to_stop(self, at_once: bool) -> None:
        """The first time drain, unless `at_once`; the second time put everything back and go."""
        self._stops_asked += 1
        self._stop_asked.set()
        if at_once or self._stops_asked > 1:
            self._hurry_asked.set()

    async def run(self) -> int:
        """Work until a signal or a lost pulse; returns the exit code."""
        pulse = asyncio.create_task(self._pulse.run(), name="pulse")
        stop = asyncio.create_task(self._stop_asked.wait(), name="stop")
        registering = asyncio.create_task(self._register(), name="register")
        await asyncio.wait({registering, stop, pulse}, return_when=asyncio.FIRST_COMPLETED)
        if not registering.done():
            registering.cancel()
            return await self._end(exits.ABORTED if pulse.done() else exits.DRAINED)
        registering.result()
        # Before the first claim: without the tools of servers, runs that need them would be handed back.
        await self._offers.look()
        logger.info("worker.started", queues=self._queues, slots=self._pool.slots)
        claiming = asyncio.create_task(self._pool.run(), name="claim")
        tasks = {
            claiming,
            asyncio.create_task(self._pool.watch(), name="watch"),
            asyncio.create_task(self._writer.run(), name="journal"),
            asyncio.create_task(self._offers.run(), name="offers"),
        }
        linger = asyncio.create_task(self._linger_asked.wait(), name="linger")
        await asyncio.wait({pulse, stop, linger, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if linger.done() and not claiming.done():
            tasks.discard(claiming)
            await self._linger(claiming, until={pulse, stop, *tasks})
        for task in tasks:
            if task.done():  # none of them ends by itself: a fault of ours, and the next process may fare better
                logger.error("worker.task_ended", name=task.get_name(), exc_info=task.exception())
                self._faults.note(f"its task {task.get_name()!r} ended", task.exception())
                return await self._abort()
        if pulse.done():
            return await self._abort()
        return await self._stop(pulse, claiming)

    async def _register(self) -> None:
        """Write the worker's row, waiting for the database as long as it takes."""
        outage = Outage("worker.database_is_away")
        while True:
            began_at = boottime()
            try:
                await self._writes.fetch(REGISTER, self._row())
            except DatabaseUnavailable as error:
                await outage.wait(error)
            else:
                outage.over()
                self._pulse.register(began_at)
                return

    def _row(self) -> dict[str, Any]:
        return {
            "boot_id": self._identity.boot_id,
            "supervisor_id": self._identity.supervisor_id,
            "host": platform.node()[:120],
            "pid": os.getpid(),
            "release": release_name(),
            "queues": Texts(self._queues),
            "slots": self._pool.slots,
        }

    async def _linger(self, claiming: asyncio.Task[None], *, until: set[asyncio.Task[Any]]) -> None:
        """Claim nothing more, and let what runs come to its end while a follower does the work. Something in `until`
        ends it earlier: its host, where that stops, or has waited for long enough."""
        self._pool.stop_claiming()
        lingering = asyncio.create_task(self._come_to_an_end(claiming), name="lingering")
        telling = asyncio.create_task(self._tell_that_it_drains(), name="tell")
        await asyncio.wait({lingering, *until}, return_when=asyncio.FIRST_COMPLETED)
        for task in (lingering, telling):
            task.cancel()
        _, ended = await asyncio.gather(telling, lingering, return_exceptions=True)
        if isinstance(ended, Exception):
            logger.error("worker.linger_failed", exc_info=ended)
            self._faults.note("it could not let its runs end", ended)

    async def _come_to_an_end(self, claiming: asyncio.Task[None]) -> None:
        await asyncio.wait({claiming})
        claiming.result()
        outage = Outage("linger.database_is_away")
        while True:
            try:
                await self._pool.let_strays_go()  # what a claim without an answer, or the turn before, has left
                await self._pool.drain(None)
            except DatabaseUnavailable as error:
                await outage.wait(error)
            else:
                return

    async def _stop(self, pulse: asyncio.Task[None], claiming: asyncio.Task[None]) -> int:
        """Drain, unless the drain is cut short by a second signal or a lost pulse."""
        hurry = asyncio.create_task(self._hurry_asked.wait(), name="hurry")
        draining = asyncio.create_task(self._drain(claiming), name="drain")
        await asyncio.wait({draining, hurry, pulse}, return_when=asyncio.FIRST_COMPLETED)
        if hurry.done():
            draining.cancel()
            return await self._hurry()
        if pulse.done():
            draining.cancel()
            return await self._abort()
        if (error := draining.exception()) is not None:
            logger.error("worker.drain_failed", exc_info=error)
            self._faults.note("it could not drain", error)
            self._pulse.tick()
            return await self._end(exits.ABORTED)
        logger.info("worker.stopped")
        return await self._end(exits.DRAINED)

    async def _drain(self, claiming: asyncio.Task[None]) -> None:
        self._pool.stop_claiming()
        telling = asyncio.create_task(self._tell_that_it_drains(), name="tell")
        try:
            await asyncio.wait({claiming}, timeout=CLAIMING_ENDS_WITHIN)
            await self._pool.drain(conf.grace())
        finally:
            telling.cancel()
        await self._tell_the_end(_BY_SIGNAL)

    async def _tell_that_it_drains(self) -> None:
        """In the row, as soon as that is free. The drain waits for neither."""
        try:
            while await self._change_state("draining", _BY_SIGNAL) is RowWrite.LOCKED:
                await asyncio.sleep(LOCKED_ROW_EVERY)
        except DatabaseUnavailable as error:
            logger.warning("worker.cannot_say_it_drains", detail=str(error))

    async def _hurry(self) -> int:
        logger.warning("worker.stops_at_once")
        try:
            await self._pool.release_all()
            await self._tell_the_end(_AT_ONCE)
        except (DatabaseUnavailable, TimeoutError) as error:
            logger.warning("worker.leases_left_to_the_reaper", detail=str(error))
            return await self._end(exits.ABORTED)
        return await self._end(exits.HURRIED)

    async def _abort(self) -> int:
        logger.error("worker.aborted", hint="No acknowledged beat in time: its runs are given to others.")
        self._pulse.tick()  # the supervisor tells the row what ended it
        self._pulse.lose()
        self._pool.abort()
        return await self._end(exits.ABORTED)

    async def _tell_the_end(self, reason: str) -> None:
        """That it has stopped. A row that stays locked is told by the host later. Raises DatabaseUnavailable."""
        given_up_at = boottime() + TRIES_TO_TELL_FOR
        while await self._change_state("stopped", reason) is RowWrite.LOCKED:
            if boottime() > given_up_at:
                self._faults.note("it could not tell its row that it stopped", "another transaction holds the row")
                self._pulse.tick()
                return
            await asyncio.sleep(LOCKED_ROW_EVERY)

    async def _change_state(self, state: str, reason: str) -> RowWrite:
        boot_id = self._identity.boot_id
        told = {"boot_id": boot_id, "state": state, "reason": reason, "by_signal": _BY_SIGNAL}
        written = outcome(await self._claims.fetch(CHANGE_STATE, told))
        if written is RowWrite.LOCKED:
            self._locked.note(boot_id, f"that it is {state}")
        else:
            self._locked.over(boot_id)
        return written

    async def _end(self, code: int) -> int:
        """Close what can be closed quickly. Tools in processes of their own are killed."""
        level = logging.INFO if code == exits.DRAINED else logging.WARNING
        logger.log(level, "worker.ends", exit_code=code, meaning=exits.WORDS[code])
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._isolation.close()
                await self._claims.close()
                await self._writes.close()
                await self._gates.close()
        except TimeoutError:
            logger.warning("worker.closed_in_a_hurry")
        return code

    def _report(self) -> Mapping[str, Any]:
        return {
            "running": self._pool.running_count,
            "free": self._pool.free_slots,
            "slots": self._pool.slots,
            "counts": dict(self._tally),
            "doing": told(self._pool.doings()),
            "late_tools": overstayed()[:_TOOLS_TOLD],
            "abandoned_tools": abandoned()[:_TOOLS_TOLD],
            "fault": [self._faults.number, self._faults.text],
        }

    def _hear(self, message: Message) -> None:
        match message["type"]:
            case "due" if message["queue"] in self._queues:
                self._pool.wake()
            case "queue" if message["queue"] in self._queues:
                self._pool.queues_have_changed()
            case "cancel" if self._pool.holds(UUID(message["run"])):
                self._pool.look_for_cancellations()
            case "linger":
                self._linger_asked.set()
