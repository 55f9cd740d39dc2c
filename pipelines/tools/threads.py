"""Trusted synchronous tools, in threads of the worker.

A thread cannot be stopped, so one that does not come back is a leak: who runs the process is told of it (`overstayed`)
and replaces the process.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from pipelines.engine.ports import ToolCall
from pipelines.tools import tool_errors
from pipelines.tools.base import ToolSpec
from pipelines.tools.plain_text import message_of

logger = logging.getLogger(__name__)

OVERSTAYS_AFTER = 5.0  # seconds past its time-out
# Not the event loop's own threads: a mail server that hangs must not keep names from being resolved.
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="tool")
_running: dict[asyncio.Future[Any], tuple[str, float]] = {}  # the tool, and when its time is over


async def in_a_thread(spec: ToolSpec, function: Callable[[], Any], call: ToolCall) -> Any:
    """Run a trusted tool. A late one is waited for before its time-out is told: the next attempt must not overlap it.

    Trusted means that it comes back by itself when its time is over, so this wait is short. Cancellation does not wait;
    the thread goes on.
    """
    context = contextvars.copy_context()
    work = asyncio.get_running_loop().run_in_executor(_THREADS, partial(context.run, _outcome, function))
    seconds = call.timeout.total_seconds()
    _running[work] = spec.name, time.monotonic() + seconds
    work.add_done_callback(lambda done: _running.pop(done, None))
    # A wait that is cut off leaves the future alone, and with it the only knowledge of the thread.
    done, _ = await asyncio.wait({work}, timeout=seconds)
    if done:
        result, error = work.result()
        if error is not None:
            raise error
        return result
    logger.warning("trusted tool %s is late; its slot is held until it returns", spec.name)
    await asyncio.wait({work})
    _, error = work.result()
    if error is not None:
        logger.warning("trusted tool %s ended late: %s", spec.name, message_of(error))
    raise tool_errors.timed_out(spec.name, call.timeout)


def _outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """The result or what was raised, as a value: a future does not take every exception, StopIteration for one, and
    who waited for it would wait for ever."""
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001 - told by the caller
        return None, error


def overstayed() -> list[str]:
    """The tools that are in a thread although their time has been over for long, by name."""
    now = time.monotonic()
    return sorted({name for name, over_at in _running.values() if now > over_at + OVERSTAYS_AFTER})
