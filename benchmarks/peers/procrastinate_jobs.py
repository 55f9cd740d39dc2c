"""Procrastinate: asynchronous jobs, 100 at a time in a process."""

import asyncio
import sys

import psycopg
from procrastinate import App, PsycopgConnector

CONCURRENCY = 100
FILL = 1000


def app_of(address: str) -> App:
    app = App(connector=PsycopgConnector(conninfo=address, max_size=20))

    @app.task(name="noop", queue="default")
    async def noop() -> None:
        """Do nothing."""

    return app


async def prepare(address: str) -> None:
    app = app_of(address)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def fill(address: str, count: int) -> None:
    app = app_of(address)
    async with app.open_async():
        for _ in range(count // FILL):
            await app.tasks["noop"].batch_defer_async(*[{}] * FILL)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


async def work(address: str) -> None:
    app = app_of(address)
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)


if __name__ == "__main__":
    word, where, *rest = sys.argv[1:]
    asyncio.run({"prepare": prepare, "fill": fill, "work": work}[word](where, *map(int, rest)))
