"""Asynchronous code of a tool in an asyncio task of its own, so that what it does to "its task" it does to itself.

Note [Own task]: a tool may cancel the task that it runs in (`asyncio.current_task().cancel()`, a task group or cancel
scope that it leaves half open). Were that the task of the run, nobody could tell it from a cancellation of the run,
and one that the tool does not wait for would strike whatever the engine awaits next. In a task of its own it ends
there; what cancels the run's task cancels this one with it, and counts in `Task.cancelling()` of the run's, by which
the two are told apart, also where they meet.

Note [Abandoned]: a tool may hold on to its cancellation, and neither the end of its step nor that of its run may wait
for that. It is canceled, has a moment to tidy up, is canceled again, and is left behind in the end: an asyncio task can
no more be killed than a thread. Who runs the process is told of those that stay (`abandoned`) and replaces the process.
"""

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

logger = logging.getLogger(__name__)

ABANDONED_AFTER = 2.0  # seconds from its first cancellation
_TIDIES_FOR = 1.5  # of them in which nobody disturbs it; the program of an MCP server has a second to end
_CANCELED_EVERY = 0.1  # after that
_STAYS_AFTER = 5.0  # seconds from the same, as a trusted tool that is late
_abandoned: dict[asyncio.Task[Any], tuple[str, float]] = {}  # the tool, and from when on it counts as one that stays


async def in_own_task(
    function: Callable[[], Any], *, name: str, on_abandoned: Callable[[], None] = lambda: None
) -> Any:
    """The result of `function`, awaited where it is awaitable. Raises what it raises, CancelledError also where it has
    canceled itself: see `is_from_outside`.

    A cancellation of the caller returns when the function has come to its end, whatever that is, or after
    `ABANDONED_AFTER` seconds: then `on_abandoned` is called first.
    """
    work = asyncio.create_task(_outcome(function), name=f"tool {name}")
    ended = asyncio.get_running_loop().create_future()
    work.add_done_callback(partial(_tell, ended))
    try:
        await ended  # not `work`: whoever awaits a task is woken from a cancellation by the end of that task alone
    except asyncio.CancelledError:
        if await _has_been_stopped(work):
            _log_failure(work, name)
        else:
            _abandon(work, name)
            on_abandoned()
        raise
    result, error = work.result()
    if error is not None:
        raise error
    return result


def is_from_outside(error: BaseException) -> bool:
    """True where this task is canceled, or ends with its loop: then the tool has not failed, it was cut off.

    A CancelledError that nobody has asked this task for is the tool's own: it has canceled itself, or something that
    it waited for was canceled.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs any more
        return True
    if task is None:
        return True
    return isinstance(error, asyncio.CancelledError) and task.cancelling() > 0


def abandoned() -> list[str]:
    """The tools that were left behind and have not come to their end for long, by name."""
    now = time.monotonic()
    return sorted({name for name, stays_from in _abandoned.values() if now > stays_from})


async def _outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """The result or what was raised, as a value: a task lets SystemExit and KeyboardInterrupt end its loop."""
    try:
        answer = function()
        return (await answer if inspect.isawaitable(answer) else answer), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - raised where the tool was called
        return None, error


def _tell(ended: asyncio.Future[None], _: asyncio.Task[Any]) -> None:
    if not ended.done():
        ended.set_result(None)


async def _has_been_stopped(work: asyncio.Task[Any]) -> bool:
    """Cancel it, and after a while again and again; whether it has come to its end in time."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    work.cancel()
    await _wait(work, until=began_at + _TIDIES_FOR)
    while not work.done() and loop.time() < began_at + ABANDONED_AFTER:
        work.cancel()
        await _wait(work, until=loop.time() + _CANCELED_EVERY)
    return work.done()


async def _wait(work: asyncio.Task[Any], *, until: float) -> None:
    """Wait for its end. Whoever cancels this wait wants what is going on already."""
    loop = asyncio.get_running_loop()
    while not work.done() and loop.time() < until:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({work}, timeout=until - loop.time())


def _abandon(work: asyncio.Task[Any], name: str) -> None:
    logger.error("tool %s goes on after it was canceled, and is left behind", name)
    _abandoned[work] = name, time.monotonic() + _STAYS_AFTER - ABANDONED_AFTER
    work.add_done_callback(lambda done: _abandoned.pop(done, None))


def _log_failure(work: asyncio.Task[Any], name: str) -> None:
    """What it raised while it was stopped is nobody's result."""
    if not work.cancelled() and (error := work.result()[1]) is not None:
        logger.warning("tool %s failed when it was canceled", name, exc_info=error)
