"""PgQueuer with asyncpg and uvloop, as its documentation recommends for throughput: batches of 500."""

import asyncio
import sys
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

BATCH = 500
FILL = 1000


async def prepare(address: str) -> None:
    await Queries(AsyncpgDriver(await asyncpg.connect(address))).install()


async def fill(address: str, count: int) -> None:
    connection = await asyncpg.connect(address)
    queries = Queries(AsyncpgDriver(connection))
    for _ in range(count // FILL):
        await queries.enqueue(["noop"] * FILL, [None] * FILL, [0] * FILL)
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")


async def work(address: str) -> None:
    async with asyncpg.create_pool(address, min_size=4, max_size=4) as pool:
        manager = QueueManager(Queries(AsyncpgPoolDriver(pool)))

        @manager.entrypoint("noop")
        async def noop(job: Job) -> None:
            """Do nothing."""

        await manager.run(dequeue_timeout=timedelta(seconds=1), batch_size=BATCH)


if __name__ == "__main__":
    word, where, *rest = sys.argv[1:]
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run({"prepare": prepare, "fill": fill, "work": work}[word](where, *map(int, rest)))
