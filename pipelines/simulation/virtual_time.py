"""Time that passes only when everybody sleeps."""

import asyncio
import math
import selectors
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pipelines.document.moments import LAST_INSTANT

# What somebody does at an instant comes this much before all that is due then.
_JUST_BEFORE = timedelta(microseconds=1) / 2


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing else is left to do, so that what sleeps side by
    side wakes in the order of its instants. Threads are waited for in real time."""

    _clock_resolution: float

    def __init__(self) -> None:
        self._virtual = 0.0
        self._threads = 0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._virtual

    def jump(self, seconds: float) -> None:
        self._virtual += seconds
        # A timer is due where it comes before now and this. Less than the next number, it would add nothing to the
        # seconds of half a year, and a timer that is due at this very instant would never be.
        self._clock_resolution = max(self._clock_resolution, 2 * math.ulp(self._virtual))

    @property
    def waits_for_threads(self) -> bool:
        return self._threads > 0

    def run_in_executor(  # type: ignore[override] # with types of arguments that nobody here is asked about
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        self._threads += 1
        future: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_has_ended)
        return future

    def _thread_has_ended(self, _: Any) -> None:
        self._threads -= 1


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing but threads: where the loop would wait for a timer, its clock is set to it."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or self._loop.waits_for_threads:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self._loop.jump(timeout)
        return ready


class VirtualClock:
    """A clock of the engine, over the `VirtualLoop` that runs it."""

    def __init__(self, start: datetime) -> None:
        self._start = start

    def now(self) -> datetime:
        passed = timedelta(seconds=asyncio.get_running_loop().time())
        # Seconds that are rounded may come past the last instant by some microseconds.
        return self._start + min(passed, LAST_INSTANT - self._start)

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.sleep(max(0.0, delay.total_seconds()))

    async def sleep_until(self, instant: datetime) -> None:
        await self.sleep(instant - self.now())


def call_after(delay: timedelta, callback: Callable[[], None]) -> None:
    """Call at that instant of the loop's time, before anything else that is due then."""
    if delay <= timedelta():
        callback()
    else:
        asyncio.get_running_loop().call_at((delay - _JUST_BEFORE).total_seconds(), callback)
