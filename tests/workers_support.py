"""What the tests of the workers share: due work, and the parts of a worker process without the process."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from pipelines.conf import vault
from pipelines.tools.base import Catalog
from pipelines.tools.isolation import Isolation
from pipelines.tools.registry import catalog as real_catalog
from scheduling.models import DueWork, Run
from tests.factories import DueWorkFactory, RunFactory, TaskFactory
from workers.briefing import Briefing
from workers.claim import Claimer
from workers.claimed import ClaimedRun
from workers.clock import DatabaseClock
from workers.connection import Database, conninfo
from workers.equipment import Equipment
from workers.gates import GateKeeper
from workers.journal import JournalWriter
from workers.pool import Pool
from workers.secrets import SecretReader
from workers.tally import Tally

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result], *, within: float = 20.0) -> Result:
    """Run a coroutine to its end, and fail rather than hang."""

    async def bounded() -> Result:
        async with asyncio.timeout(within):
            return await work

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool], *, within: float = 10.0) -> None:
    """Return when `condition()` holds; for facts inside the running loop."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


def due_work(document: dict[str, Any] | None = None, *, task: dict[str, Any] | None = None, **fields: Any) -> DueWork:
    """Claimable due work of a new task with that pipeline."""
    made = TaskFactory(document=document, **(task or {}))
    run_fields = {name: fields.pop(name) for name in ("params", "simulated", "state", "started_at") if name in fields}
    return DueWorkFactory(run=RunFactory(task=made, **run_fields), **fields)


def reload(work: DueWork) -> DueWork | None:
    """The queue's row as it is now; None where the run has ended."""
    return DueWork.objects.filter(pk=work.pk).first()


def run_of(work: DueWork) -> Run:
    return Run.objects.get(pk=work.pk)


@asynccontextmanager
async def database(name: str = "test") -> AsyncIterator[Database]:
    opened = Database(name=name, address=conninfo(), limit=timedelta(seconds=10))
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def claimer(boot_id: UUID | None = None, queues: Sequence[str] = ("default",)) -> AsyncIterator[Claimer]:
    async with database() as opened:
        yield Claimer(opened, boot_id=boot_id or uuid.uuid4(), queues=queues)


class Bench:
    """The slots, the writer and the claims of one process, driven by the test."""

    def __init__(self, opened: Database, pool: Pool, writer: JournalWriter, tally: Tally, boot_id: UUID) -> None:
        self.database = opened
        self.pool = pool
        self.writer = writer
        self.tally = tally
        self.boot_id = boot_id
        self.may_write = True

    async def run_all(self) -> None:
        """Claim once and wait until every slot is free."""
        await self.pool.run_once()
        await self.settled()

    async def settled(self) -> None:
        await until(lambda: self.pool.running_count == 0)


@asynccontextmanager
async def bench(
    *, slots: int = 4, catalog: Catalog | None = None, queues: Sequence[str] = ("default",)
) -> AsyncIterator[Bench]:
    boot_id, tally = uuid.uuid4(), Counter[str]()
    tools = catalog or real_catalog()
    gates = GateKeeper()
    async with database("claims") as claims, database("journal") as journal, Isolation(size=slots) as isolation:
        parts: list[Bench] = []
        writer = JournalWriter(journal, boot_id=boot_id, may_write=lambda: parts[0].may_write, tally=tally)
        pool = Pool(
            boot_id=boot_id,
            slots=slots,
            claimer=Claimer(claims, boot_id=boot_id, queues=queues),
            briefing=Briefing(claims, catalog=tools),
            database=claims,
            equipment=Equipment(
                writer=writer,
                catalog=tools,
                isolation=isolation,
                clock=DatabaseClock(),
                gates=gates,
                tally=tally,
                secrets=SecretReader(claims, vault()),
            ),
        )
        parts.append(Bench(claims, pool, writer, tally, boot_id))
        writing = asyncio.create_task(writer.run())
        try:
            yield parts[0]
        finally:
            pool.abort()
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            await gates.close()


def ids(claimed: Sequence[ClaimedRun]) -> list[UUID]:
    return [each.run_id for each in claimed]


async def change(work: DueWork, **fields: Any) -> None:
    """Change a row of the queue as another process would, from within the running loop."""
    assignments = ", ".join(f"{name} = %({name})s" for name in fields)
    statement = f"UPDATE scheduling_duework SET {assignments} WHERE run_id = %(run_id)s"
    async with database("another") as opened:
        await opened.fetch(statement.encode(), {**fields, "run_id": work.pk})
