"""Celery with Redis: no results kept, jobs fetched ahead, as its guide to optimizing says. Not durable."""

import sys
from urllib.parse import unquote, urlsplit

from celery import Celery

PREFETCH = 128


def app_of(address: str) -> Celery:
    parts = urlsplit(address)
    app = Celery("noop", broker=f"redis+socket://{unquote(parts.path)}" if parts.scheme == "unix" else address)
    app.conf.update(
        task_ignore_result=True,
        worker_prefetch_multiplier=PREFETCH,
        worker_disable_rate_limits=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    app.task(name="noop")(noop)
    return app


def noop() -> None:
    """Do nothing."""


def fill(address: str, count: int) -> None:
    app = app_of(address)
    with app.producer_or_acquire() as producer:
        for _ in range(count):
            app.send_task("noop", producer=producer)


def work(address: str) -> None:
    app = app_of(address)
    app.worker_main(
        ["worker", "--concurrency=1", "--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    )


if __name__ == "__main__":
    word, where, *rest = sys.argv[1:]
    {"prepare": lambda _: None, "fill": fill, "work": work}[word](where, *map(int, rest))
