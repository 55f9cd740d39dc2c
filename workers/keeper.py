"""What a worker host does beside supervising: beats, reaping, sweeps, waking. One event loop, no work of its own."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from pipelines.tools.process_tree import resident_memory
from scheduling.conf import direct_url
from scheduling.instants import boottime
from scheduling.wakeup import DUE_CHANNEL, QUESTIONS_CHANNEL, QUEUES_CHANNEL
from workers import conf
from workers.answering.turns import Answering
from workers.bloat import BloatWatch
from workers.columns import Integers, Texts, Uuids
from workers.connection import Database, DatabaseUnavailable, conninfo
from workers.gates import GateKeeper
from workers.links import Link
from workers.listener import listen
from workers.outage import Outage
from workers.points import reach
from workers.reaper import Observations, Orphan, Reaper
from workers.retention.turns import STATEMENT_LIMIT, Retention
from workers.row_writes import LockedRows, RowLocked, RowWrite, outcome
from workers.statements import BEAT, SAY_WHY
from workers.tally import Tally
from workers.wear import Limits, Reason

logger = structlog.get_logger(__name__)

WATCH_EVERY = 0.25  # seconds
GATES_EVERY = 1.0
ANSWER_EVERY = 0.02  # a turn ends with the pause that is worth while
SWEEP_EVERY = 60.0
BLOAT_EVERY = 30.0
RETENTION_EVERY = 20.0  # a host asks; each kind has a turn a minute, whichever host takes it
LAST_TRIES_WITHIN = 2.0  # seconds for the hand-over of what the stopped processes left
LOCKED_ROW_EVERY = 1.0
SAYS_WHY_FOR = 10.0
READY_WITHIN = 10.0  # seconds since the last beat that the database took


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A process that has ended with its host, and how: see `Reaper.hand_over`."""

    boot_id: UUID
    reason: str
    seems_orderly: bool


class Keeper:
    """The tasks of a host over the links to its processes. All methods run in its loop."""

    def __init__(
        self,
        links: list[Link],
        *,
        limits: Limits | None = None,
        on_drain: Callable[[Link], None] = lambda _link: None,
    ) -> None:
        """`on_drain` is asked to retire a process that somebody wants to drain. It is called in this object's loop."""
        self._links = links
        self._limits = limits or Limits()
        self.on_drain = on_drain
        self.past_counts: Tally = Counter()
        self.recycled: Counter[str] = Counter({reason.value: 0 for reason in Reason})
        self._abort_after = conf.abort_after().total_seconds()
        self._beat_every = conf.beat_interval().total_seconds()
        self._look_every = min(self._beat_every, conf.reap_after().total_seconds() / 5)
        limit = conf.abort_after()
        address = conninfo()
        self._beats = Database(name="ordinaut workers beats", address=address, limit=limit)
        self._reaps = Database(name="ordinaut workers reaper", address=address, limit=limit)
        self._reaper = Reaper(self._reaps)
        self._prunes = Database(name="ordinaut workers retention", address=address, limit=STATEMENT_LIMIT)
        self._retention = Retention(self._prunes)
        self.bloat = BloatWatch()
        self._reaping = asyncio.Lock()
        self._locked = LockedRows()
        self._handing_over: set[UUID] = set()
        self._observations = Observations(
            reap_after=conf.reap_after(), max_gap=timedelta(seconds=max(3 * self._look_every, 1.0))
        )
        self._gates: GateKeeper | None = None
        self._answering: Answering | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._beaten_at: float | None = None
        self._watched_at: float | None = None

    @property
    def is_ready(self) -> bool:
        """True where the database takes the beats of at least one process."""
        return self._beaten_at is not None and boottime() - self._beaten_at < READY_WITHIN

    @property
    def retention(self) -> Retention:
        return self._retention

    @property
    def links(self) -> list[Link]:
        return self._links

    async def start(self) -> None:
        """Begin. Nothing of it waits for the database."""
        self._gates = GateKeeper()
        self._answering = Answering()
        for link in self._links:
            self._listen_to(link)
        self._tasks = [
            asyncio.create_task(self._repeat(self.watch_once, WATCH_EVERY, "watch"), name="watch"),
            asyncio.create_task(self._repeat(self.beat_once, self._beat_every, "beat.database_is_away"), name="beat"),
            asyncio.create_task(self._repeat(self.reap_once, self._look_every, "reap.database_is_away"), name="reap"),
            asyncio.create_task(self._repeat(self.sweep_once, SWEEP_EVERY, "sweep.database_is_away"), name="sweep"),
            asyncio.create_task(self._repeat(self.open_gates, GATES_EVERY, "gates.database_is_away"), name="gates"),
            asyncio.create_task(
                self._repeat(self.answer, ANSWER_EVERY, "answering.database_is_away"), name="answering"
            ),
            asyncio.create_task(self._repeat(self.look_for_bloat, BLOAT_EVERY, "bloat.database_is_away"), name="bloat"),
            asyncio.create_task(
                self._repeat(self.prune_once, RETENTION_EVERY, "retention.database_is_away"), name="retention"
            ),
        ]
        if url := direct_url():
            self._tasks.append(asyncio.create_task(listen(conninfo(url), hear=self._hear), name="listen"))

    async def stop(self, left: Iterable[Left]) -> None:
        """Hand over the work of the processes in `left`, for a limited time, then end every task and connection."""
        handing = {
            asyncio.create_task(
                self.hand_over(each.boot_id, reason=each.reason, seems_orderly=each.seems_orderly)
            ): each.boot_id
            for each in left
        }
        if handing:
            _, late = await asyncio.wait(handing, timeout=LAST_TRIES_WITHIN)
            for task in late:
                task.cancel()
            if late:
                logger.warning("host.work_left_to_other_reapers", workers=[str(handing[task]) for task in late])
            await asyncio.gather(*handing, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._beats.close()
        await self._reaps.close()
        await self._prunes.close()
        if self._gates is not None:
            await self._gates.close()
        if self._answering is not None:
            await self._answering.close()

    async def add(self, link: Link) -> None:
        """One more place for a process: a replacement's."""
        self._links.append(link)
        self._listen_to(link)

    async def remove(self, link: Link, reason: Reason) -> None:
        """The place of a process that was replaced, and has ended. Its counts stay in the sums."""
        asyncio.get_running_loop().remove_reader(link.ours)
        self._links.remove(link)
        self.past_counts.update(link.past_counts)
        self.recycled[reason] += 1
        link.close()

    async def say_why(self, boot_id: UUID, words: str) -> None:
        """Note in the process's row why it is replaced. Where the database is away, or the row locked for long, the log
        has to do."""
        given_up_at = boottime() + SAYS_WHY_FOR
        try:
            while outcome(await self._reaps.fetch(SAY_WHY, {"boot_id": boot_id, "reason": words})) is RowWrite.LOCKED:
                self._locked.note(boot_id, words)
                if boottime() > given_up_at:
                    return
                await asyncio.sleep(LOCKED_ROW_EVERY)
        except DatabaseUnavailable as error:
            logger.warning("worker.cannot_say_why", worker=str(boot_id), reason=words, detail=str(error))

    async def welcome(self, link: Link, pid: int, *, supervisor_id: UUID) -> UUID:
        return link.welcome(pid, supervisor_id=supervisor_id, now=boottime())

    async def part(self, link: Link, *, exit_words: str) -> tuple[UUID | None, str, str]:
        """The process here has ended: its boot id, the reason, and its last error."""
        link.read(now=boottime())
        reason, error = link.reason_of_end(exit_words)
        return link.part(), reason, error

    async def hand_over(
        self, boot_id: UUID, *, reason: str, error: str = "", seems_orderly: bool = False, place: Link | None = None
    ) -> None:
        """Give away the work of a process that is known to be dead, however long the database is away, and tell its
        row, however long that is locked. `seems_orderly`: see `Reaper.hand_over`. Where somebody wanted it to drain,
        whoever has followed it at its `place` drains instead."""
        outage = Outage("hand_over.database_is_away")
        self._handing_over.add(boot_id)
        try:
            while True:
                try:
                    async with self._reaping:
                        handed = await self._reaper.hand_over(
                            boot_id, reason=reason, error=error or reason, seems_orderly=seems_orderly
                        )
                except DatabaseUnavailable as unavailable:
                    await outage.wait(unavailable)
                    continue
                outage.over()
                self._release_gates_of(handed.orphans)
                if handed.is_drained and place is not None:
                    self._drain(place)
                if not handed.is_row_locked:
                    self._locked.over(boot_id)
                    return
                self._locked.note(boot_id, reason)
                await asyncio.sleep(LOCKED_ROW_EVERY)
        finally:
            self._handing_over.discard(boot_id)

    async def beat_once(self) -> None:
        """One beat for every process whose loop has turned since the last; and a look at how much each has served.

        One whose row is locked has not beaten. If it stays locked that process gives up in time, and it alone.
        """
        for link in self._links:
            if link.report.get("registered"):
                counts = link.report.get("counts", {})
                link.wear.blame(link.report.get("late_tools", ()), link.report.get("abandoned_tools", ()))
                link.wear.measure(counts=counts, memory=resident_memory(link.pid), limits=self._limits)
        wanting = {link.boot_id: link for link in self._links if link.boot_id is not None and link.wants_beat}
        if not wanting:
            return
        reports = {boot_id: link.report for boot_id, link in wanting.items()}
        news = [link.news for link in wanting.values()]
        reach("before-beat")
        rows = await self._beats.fetch(
            BEAT,
            {
                "boot_ids": Uuids(wanting),
                "running_counts": Integers(report.get("running", 0) for report in reports.values()),
                "doings": Texts(doing for doing, _ in news),
                "errors": Texts(error for _, error in news),
            },
        )
        reach("after-beat")
        answers: dict[UUID, tuple[bool, bool]] = {boot_id: (drains, beaten) for boot_id, drains, beaten in rows}
        if not answers or any(has_beaten for _, has_beaten in answers.values()):
            self._beaten_at = boottime()
        for boot_id, link in wanting.items():
            if link.boot_id != boot_id:
                continue  # it ended while the beat was written
            if boot_id in answers:
                is_to_drain, has_beaten = answers[boot_id]
                if has_beaten:
                    self._locked.over(boot_id)
                    link.note_told(reports[boot_id])
                    link.acknowledge(reports[boot_id]["number"])
                else:
                    self._locked.note(boot_id, "its beat")
                if is_to_drain:
                    self._drain(link)
            else:
                logger.warning("worker.was_declared_lost", worker=str(boot_id))
                link.tell({"type": "lost"})

    def _drain(self, link: Link) -> None:
        """Somebody asked for it through the row: the process drains and is not replaced."""
        if not link.is_told_to_drain:
            logger.warning("worker.drains_as_asked", worker=str(link.boot_id), pid=link.pid)
            link.is_told_to_drain = True
            self.on_drain(link)

    async def reap_once(self) -> None:
        """Look at every beat; give away the work of those that have stood still for too long."""
        try:
            async with self._reaping:
                still = self._observations.look(await self._reaper.beats(), now=boottime())
                for boot_id, beat_number in still:
                    if boot_id in self._handing_over:
                        continue  # this host knows better what has become of it
                    try:
                        orphans = await self._reaper.reap(boot_id, beat_number)
                    except RowLocked:
                        self._locked.note(boot_id, "that it is lost")
                        continue
                    self._locked.over(boot_id)
                    self._release_gates_of(orphans or ())
        except DatabaseUnavailable:
            self._observations.forget()
            raise

    async def sweep_once(self) -> None:
        """Leases of the dead that nobody gave away, and runs that outlive their deadline."""
        async with self._reaping:
            self._release_gates_of(await self._reaper.sweep())
            overdue = await self._reaper.overdue()
        for run_id, boot_id in overdue:
            logger.warning("run.overdue", run=str(run_id), worker=str(boot_id))
            for link in self._links:
                if link.boot_id == boot_id:
                    link.wear.find(Reason.OVERDUE, f"replaced, run {run_id} is overdue")

    async def watch_once(self) -> None:
        """Kill processes that are stuck. Without the database, so that nothing can hold it up."""
        now = boottime()
        was_away = self._watched_at is not None and now - self._watched_at > 4 * WATCH_EVERY
        self._watched_at = now
        for link in self._links:
            if was_away:
                link.excuse(now=now)
            link.kill_if_stuck(now=now, abort_after=self._abort_after)

    async def open_gates(self) -> None:
        """Admit held runs whose announcement was lost, or whose time has come."""
        if self._gates is not None:
            await self._gates.sweep()

    async def answer(self) -> None:
        """Answer what runs ask of events and of other runs."""
        if self._answering is not None:
            await self._answering.turn()

    async def look_for_bloat(self) -> None:
        """Count the dead rows of the hot tables, and warn of who holds them."""
        async with self._reaping:
            await self.bloat.look(self._reaps)

    async def prune_once(self) -> None:
        """Delete what has been kept long enough, for at most the budget of a turn."""
        await self._retention.turn()

    async def _repeat(self, work: Callable[[], Awaitable[None]], seconds: float, event: str) -> None:
        outage = Outage(event)
        while True:
            try:
                await work()
            except DatabaseUnavailable as error:
                await outage.wait(error)
                continue
            except Exception:
                logger.exception("host.task_failed", task=event.partition(".")[0])
            else:
                outage.over()
            await asyncio.sleep(seconds)

    def _listen_to(self, link: Link) -> None:
        asyncio.get_running_loop().add_reader(link.ours, lambda: link.read(now=boottime()))

    def _release_gates_of(self, orphans: Iterable[Orphan]) -> None:
        """Of those that have ended with their process, so that others of their task or key may go."""
        for orphan in orphans:
            if orphan.has_ended and self._gates is not None:
                self._gates.release(task_id=orphan.task_id if orphan.is_exclusive else None, key=orphan.concurrency_key)

    def _hear(self, channel: str, payload: str) -> None:
        if channel == QUESTIONS_CHANNEL:
            if self._answering is not None:
                self._answering.wake()
            return
        message: dict[str, Any]
        if channel == DUE_CHANNEL:
            message = {"type": "due", "queue": payload}
        elif channel == QUEUES_CHANNEL:
            message = {"type": "queue", "queue": payload}
        else:
            message = {"type": "cancel", "run": payload}
        for link in self._links:
            if channel != DUE_CHANNEL or link.report.get("free", 0):
                link.tell(message)
