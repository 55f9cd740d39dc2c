"""Blocking work for an event loop, in one thread that nobody waits for."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


class DaemonThread:
    """One thread for blocking work, which nobody waits for when the process ends: a statement that hangs behind a lock
    must not keep a host from ending, as the threads of `concurrent.futures` would, which are joined at exit."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=self._serve, name=name, daemon=True).start()

    async def run(self, work: Callable[..., Result], *given: Any) -> Result:
        """Carry it out behind what was asked for before. A cancellation gives up the wait, not the work."""
        future: Future[Any] = Future()
        self._work.put((future, partial(work, *given)))
        result: Result = await asyncio.wrap_future(future)
        return result

    def end(self) -> None:
        """Take no more work; the thread ends with what it has."""
        self._work.put(None)

    def _serve(self) -> None:
        while (taken := self._work.get()) is not None:
            future, work = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - the caller's
                future.set_exception(error)
