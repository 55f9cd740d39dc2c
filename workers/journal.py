"""The journal: one writer a process, which commits what all slots have finished in one statement whenever it is free.

A slot waits for the acknowledgement of its entry (that is the back-pressure), so the busier the database, the larger
the batches. Nothing waits for a timer.

Note [Fence]: a lease is held by owner and epoch. Every write locks the queue's rows first and follows from what that
lock returned; runs that are not in the answer belong to somebody else, and their slots get `LeaseLost`. That is a
normal event, counted and not logged as an error.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from pipelines.engine.ports import Question, StepEntry, StepState
from pipelines.errors import ErrorClass, PipelineError
from scheduling.ids import new_id
from workers import tally as counted
from workers.columns import Blobs, Texts
from workers.connection import REFUSED, Database, DatabaseUnavailable
from workers.encoding import Unstorable, encode, encode_input, encode_output
from workers.journal_rows import (
    Entry,
    QuestionRow,
    SettlementRow,
    StepRow,
    columns_of,
    question_columns_of,
    settlement_row,
)
from workers.outage import Outage
from workers.points import reach
from workers.settlement import Settlement
from workers.statements import JOURNAL, JOURNAL_WITH_QUESTIONS, KEEP_ARTIFACT
from workers.tally import Tally

logger = structlog.get_logger(__name__)

MAX_ROWS = 300  # runs, and steps, in one statement
MAX_BYTES = 256 * 1024
MAX_RIDING = 100  # entries that wait for a barrier


class LeaseLost(Exception):
    """The run was given to another process; whatever this one finishes is void."""


class JournalRefused(Exception):
    """The database refused what this run wanted to keep."""


class JournalWriter:
    """Commits entries in batches. `run()` until canceled; `submit()` from the same loop.

    `may_write` is asked before every statement: a process that is late has lost its leases, and says so at once.
    """

    def __init__(self, database: Database, *, boot_id: UUID, may_write: Callable[[], bool], tally: Tally) -> None:
        self._database = database
        self._boot_id = boot_id
        self._may_write = may_write
        self._tally = tally
        self._queue: list[Entry] = []
        self._wanted = asyncio.Event()

    async def submit(self, entry: Entry) -> None:
        """Return when the entry is committed. Raises LeaseLost, JournalRefused."""
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def acknowledge(error: Exception | None) -> None:
            if acknowledged.done():  # who waited was canceled
                return
            if error is None:
                acknowledged.set_result(None)
            else:
                acknowledged.set_exception(error)

        self.put(entry, acknowledge)
        await acknowledged

    def put(self, entry: Entry, acknowledge: Callable[[Exception | None], None]) -> None:
        """Have `acknowledge` called when the entry is committed, or with LeaseLost or JournalRefused."""
        entry.acknowledge = acknowledge
        self._queue.append(entry)
        self._wanted.set()

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            await self.run_once()

    async def run_once(self) -> None:
        """Write one batch; the entries of one run are never in the same."""
        batch = self._take()
        if not self._queue:
            self._wanted.clear()
        await self._write(batch)

    def _take(self) -> list[Entry]:
        batch: list[Entry] = []
        left: list[Entry] = []
        runs: set[UUID] = set()
        steps = size = 0
        for place, entry in enumerate(self._queue):
            if entry.run_id in runs:
                left.append(entry)
                continue
            steps, size = steps + len(entry.steps), size + entry.size
            if batch and (len(batch) >= MAX_ROWS or steps > MAX_ROWS or size > MAX_BYTES):
                left.extend(self._queue[place:])
                break
            batch.append(entry)
            runs.add(entry.run_id)
        self._queue = left
        return batch

    async def _write(self, batch: Sequence[Entry]) -> None:
        if not batch:
            return
        try:
            owned = await self._commit_or_wait(batch)
        except REFUSED as error:
            await self._halve(batch, error)
        except (ValueError, TypeError, OverflowError) as error:  # the driver could not even send it
            await self._halve(batch, error)
        else:
            self._acknowledge(batch, owned)

    async def _halve(self, batch: Sequence[Entry], error: Exception) -> None:
        """One bad entry must not take the batch with it: find it."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])
            return
        self._tally[counted.REFUSED] += 1
        logger.error("journal.refused", run=str(batch[0].run_id), detail=str(error), exc_info=error)
        _end(batch[0], JournalRefused(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"))

    async def _commit_or_wait(self, batch: Sequence[Entry]) -> set[UUID]:
        """Commit, waiting for a database that is away as long as the leases hold. An answer that was lost makes the
        second try find runs settled already, and report them as lost: nothing is written twice."""
        outage = Outage("journal.database_is_away")
        while self._may_write():
            try:
                owned = await self._commit(batch)
            except DatabaseUnavailable as error:
                await outage.wait(error)
            else:
                outage.over()
                return owned
        return set()

    async def _commit(self, batch: Sequence[Entry]) -> set[UUID]:
        artifacts = {artifact.digest: artifact.content for entry in batch for artifact in entry.artifacts}
        if artifacts:
            await self._database.fetch(
                KEEP_ARTIFACT, {"digests": Texts(artifacts.keys()), "contents": Blobs(artifacts.values())}
            )
        parameters = {"boot_id": self._boot_id, **columns_of(batch)}
        statement = JOURNAL
        if any(entry.wakes for entry in batch):
            statement = JOURNAL_WITH_QUESTIONS
            parameters |= question_columns_of(batch)
        reach("before-journal")
        rows = await self._database.fetch(statement, parameters)
        reach("after-journal")
        self._tally[counted.COMMITS] += 1
        return {run_id for (run_id,) in rows}

    def _acknowledge(self, batch: Sequence[Entry], owned: set[UUID]) -> None:
        for entry in batch:
            if entry.run_id not in owned:
                self._tally[counted.LOST_LEASES] += 1
                _end(entry, LeaseLost())
            else:
                _end(entry, None)


class RunJournal:
    """The journal port of one run: entries that need no barrier ride with the next one or with the settlement.

    `calls` holds the tool calls that have begun and have no result yet, as entries, so that they can be closed when the
    run is cut off.
    """

    def __init__(self, writer: JournalWriter, *, run_id: UUID, epoch: int, tally: Tally, wakes: bool = False) -> None:
        self._writer = writer
        self._run_id = run_id
        self._epoch = epoch
        self._tally = tally
        self._wakes = wakes  # it may have been parked, or has a question out
        self._riding = self._entry()
        self.calls: dict[tuple[str, int], StepEntry] = {}

    async def record(self, entry: StepEntry, *, barrier: bool) -> None:
        """As the port says. Raises LeaseLost, JournalRefused, and PipelineError for a value that cannot be kept."""
        try:
            self._add(entry)
        except Unstorable as error:
            raise PipelineError("unstorable", ErrorClass.VALIDATION, str(error), step=entry.path) from None
        if entry.started_at is not None and entry.finished_at is not None:
            self._tally[counted.STEPS] += 1
            self._tally[counted.STEP_SECONDS] += (entry.finished_at - entry.started_at).total_seconds()  # type: ignore[assignment]
        if barrier or len(self._riding.steps) >= MAX_RIDING or self._riding.size >= MAX_BYTES:
            await self._flush()

    async def settle(self, settlement: Settlement) -> None:
        """Commit what rides and what becomes of the run. Raises LeaseLost, JournalRefused, Unstorable."""
        self._riding.settlement = settlement_row(settlement)
        await self._flush()

    def settle_soon(self, settlement: SettlementRow, acknowledge: Callable[[Exception | None], None]) -> None:
        """As `settle`, without waiting: `acknowledge` is called."""
        self._riding.settlement = settlement
        entry, self._riding = self._riding, self._entry()
        self._writer.put(entry, acknowledge)

    def drop(self) -> None:
        """Forget what rides: the database refused it."""
        self._riding = self._entry()

    def _entry(self) -> Entry:
        return Entry(self._run_id, self._epoch, wakes=self._wakes)

    async def _flush(self) -> None:
        entry, self._riding = self._riding, self._entry()
        await self._writer.submit(entry)

    def _add(self, entry: StepEntry) -> None:
        input_text = encode_input(entry.input)
        output, artifact = encode_output(entry.output)
        error = None if entry.error is None else encode(entry.error)
        row = StepRow(
            self._run_id,
            entry.path,
            entry.attempt,
            entry.run_attempt,
            entry.kind,
            entry.uses or "",
            str(entry.state),
            input_text,
            output,
            artifact.digest if artifact else "",
            error,
            entry.simulated,
            entry.tolerated,
            entry.started_at,
            entry.finished_at,
        )
        if entry.state is not StepState.STARTED:
            self.calls.pop((entry.path, entry.attempt), None)
        if entry.question is not None:
            self._ask(entry, entry.question)
        # One row a statement: a later entry of the same attempt stands for both.
        riding = self._riding
        riding.steps = [step for step in riding.steps if (step.path, step.attempt) != (row.path, row.attempt)]
        riding.steps.append(row)
        if artifact is not None:
            riding.artifacts.append(artifact)
        riding.size += sum(len(text) for text in (input_text, output, error) if text is not None)

    def _ask(self, entry: StepEntry, question: Question) -> None:
        self._wakes = self._riding.wakes = True
        asks = encode(question.asks)
        row = QuestionRow(
            new_id(), self._run_id, entry.path, entry.attempt, question.kind, question.until, asks, question.topic
        )
        self._riding.questions += (row,)
        self._riding.size += len(asks)


def _end(entry: Entry, error: Exception | None) -> None:
    if entry.acknowledge is not None:
        entry.acknowledge(error)
