"""A worker process: what `runworkers` starts for each of `--processes`, as `python -m workers.process`.

It is the child of a supervisor and not meant to be started by hand: the supervisor gives it a boot id over the socket
pair and beats for it. Exit codes are in `workers.exits`.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from scheduling.garbage import collect_seldom
from workers import exits
from workers.pulse import receive

logger = structlog.get_logger(__name__)

WELCOME_WITHIN = 30.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What the supervisor tells a new process."""

    boot_id: UUID
    supervisor_id: UUID


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker process to its end and return its exit code."""
    collect_seldom()
    import django

    django.setup()
    from workers import points

    points.arm()
    options = _parser().parse_args(arguments)
    with socket.socket(fileno=options.channel) as channel:
        channel.setblocking(False)
        # Not asyncio.run, which waits at its end for every task and thread of the loop: also for those that a tool has
        # left behind, which need not end.
        return asyncio.Runner().run(_run(channel, queues=options.queues.split(","), slots=options.concurrency))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.process")
    parser.add_argument("--channel", type=int, required=True, help="File descriptor of the supervisor's socket.")
    parser.add_argument("--queues", required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    return parser


async def _run(channel: socket.socket, *, queues: list[str], slots: int) -> int:
    from workers.lifecycle import WorkerProcess

    welcome = await _welcome(channel)
    if welcome is None:
        logger.error("worker.no_supervisor", hint="Start worker processes with `manage.py runworkers`.")
        return exits.ORPHANED
    structlog.contextvars.bind_contextvars(worker=str(welcome.boot_id))
    process = WorkerProcess(channel, welcome, queues=queues, slots=slots)
    _tune_collector()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, process.ask_to_stop, False)
    loop.add_signal_handler(signal.SIGINT, process.ask_to_stop, True)
    return await process.run()


async def _welcome(channel: socket.socket) -> Welcome | None:
    """The supervisor's greeting for this very process; messages for an earlier one are passed over."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(channel, arrived.set)
    try:
        async with asyncio.timeout(WELCOME_WITHIN):
            while True:
                await arrived.wait()
                arrived.clear()
                for message in receive(channel):
                    if message.get("type") == "welcome" and message.get("pid") == os.getpid():
                        return Welcome(boot_id=UUID(message["boot_id"]), supervisor_id=UUID(message["supervisor_id"]))
    except TimeoutError:
        return None
    finally:
        loop.remove_reader(channel)


def _tune_collector() -> None:
    """What is loaded by now stays; the garbage of short runs is collected less often than the default has it, which
    cost a tenth of the throughput."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


if __name__ == "__main__":
    code = main()
    # A trusted tool may still sit in a thread; waiting for it would hold up the supervisor's restart.
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)
