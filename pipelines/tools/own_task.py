"""Asynchronous code of a tool in an asyncio task of its own, so that what it does to "its task" it does to itself.

Note [Own task]: a tool may cancel the task that it runs in (`asyncio.current_task().cancel()`, a task group or cancel
scope that it leaves half open). Were that the task of the run, nobody could tell it from a cancellation of the run,
and one that the tool does not wait for would strike whatever the engine awaits next. In a task of its own it ends
there; what cancels the run's task cancels this one with it, as awaiting a task does, and counts in
`Task.cancelling()` of the run's, by which the two are told apart, also where they meet.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def in_own_task(function: Callable[[], Any], *, name: str) -> Any:
    """The result of `function`, awaited where it is awaitable. Raises what it raises, CancelledError also where it has
    canceled itself: see `is_from_outside`. A cancellation of the caller returns when the function has come to its end.
    """
    result, error = await asyncio.create_task(_outcome(function), name=f"tool {name}")
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


async def _outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """The result or what was raised, as a value: a task lets SystemExit and KeyboardInterrupt end its loop."""
    try:
        answer = function()
        return (await answer if inspect.isawaitable(answer) else answer), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - raised where the tool was called
        return None, error
