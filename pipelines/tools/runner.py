"""The isolated tool process: `python -m pipelines.tools.runner PARENT_PID`, one call at a time, until its input ends.

It is started by `pipelines.tools.isolation`, and is two processes: its warden (`pipelines.tools.warden`), which the
worker knows as its child, and below it the one that runs the tools. The first frame on standard input configures it,
each further one is a call, and each gets one frame in answer. The protocol leaves the standard streams before a tool
is imported, so that nothing a tool prints, reads or closes there can harm it.
"""

import asyncio
import contextlib
import inspect
import math
import os
import resource
import signal
import sys
import threading
import traceback
import zoneinfo
from collections.abc import Awaitable
from datetime import datetime, timedelta
from functools import lru_cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.errors import PipelineError
from pipelines.tools import frames, tool_errors
from pipelines.tools.base import ToolContext, ToolSpec
from pipelines.tools.plain_text import storable
from pipelines.tools.process_state import ProcessState, changes_since, process_state
from pipelines.tools.result_size import is_surely_larger
from pipelines.tools.warden import watch_over_a_child

_MOST_NEW_FILES = 16  # descriptors that a library may well keep: a pool, a cache
_MOST_NEW_MEMORY = 512 * 1024 * 1024  # bytes of resident memory: modules that a tool imports stay, too
_LONGEST_TEXT = 500_000  # characters of an error, or of a traceback, that cross to the worker; it cuts what it keeps
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)

_found: ProcessState = {}  # what every call finds
_changed: list[str] = []  # what of it the last call has changed, by name
_weighed = (0, 0, 0)  # descriptors, bytes of address space, resident bytes before the first call


def main() -> int:
    watch_over_a_child(int(sys.argv[1]))
    requests, replies = _take_protocol()
    configuration = frames.read_blocking(requests)
    if configuration is None:
        return 0
    _configure(configuration)
    replies.write(frames.encode({"pid": os.getpid()}))
    # A child of a fork is a copy that would speak here, too, and answer for another run.
    os.register_at_fork(after_in_child=lambda: _leave(requests, replies))
    own = os.getpid()
    global _found, _weighed
    _found, _weighed = process_state(), _weight()
    while (request := frames.read_blocking(requests)) is not None:
        answer = _answer(request)
        if os.getpid() != own:  # a child that came out of the tool
            os._exit(1)
        replies.write(answer)
    return 0


def _weight() -> tuple[int, int, int]:
    """Open descriptors, bytes of address space, resident bytes."""
    with Path("/proc/self/statm").open(encoding="ascii") as file:
        size, resident = file.read().split()[:2]
    page = resource.getpagesize()
    return len(list(Path("/proc/self/fd").iterdir())), int(size) * page, int(resident) * page


def _is_heavier() -> bool:
    """True where calls have left so much behind that a later one, of another run, could fail for it."""
    try:
        files, space, resident = (now - then for now, then in zip(_weight(), _weighed, strict=True))
    except OSError:  # no descriptor is left to look with
        return True
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    is_crowded = limit != resource.RLIM_INFINITY and space > limit // 4
    return files > _MOST_NEW_FILES or resident > _MOST_NEW_MEMORY or is_crowded


def _leave(*pipes: BinaryIO) -> None:
    """Give up the protocol. By the descriptors: to close the objects would write what they hold."""
    for pipe in pipes:
        with contextlib.suppress(OSError):
            os.close(pipe.fileno())


def _take_protocol() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes of the protocol away from the standard streams; children of a tool do not inherit them."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def _configure(configuration: dict[str, Any]) -> None:
    from django.conf import settings

    # The locked tzdata wheel is the one source of zone rules, as in the worker.
    zoneinfo.reset_tzpath(to=[])
    settings.configure(**configuration["settings"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The first to go when the machine's memory runs out, before the worker, and before the database beside it.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if (memory := configuration["memory"]) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _answer(request: dict[str, Any]) -> bytes:
    """Run one call and return the frame to send, whatever the tool did short of ending the process."""
    name = str(request["tool"])

    def failure(error: PipelineError, trace: str | None = None) -> bytes:
        return _failure(error, trace, call=request["call"])

    try:
        result = _call(request)
    except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - the worker logs and raises it
        return failure(tool_errors.from_exception(name, error, longest=_LONGEST_TEXT), _trace())
    try:
        if is_surely_larger(result, frames.MAX_FRAME):
            return failure(tool_errors.result_too_large(name))
        frame = frames.encode({"call": request["call"], "result": result, "retire": _left_behind()})
        # After encoding, which refuses circular values: this walk would not end on them.
        _refuse_nan(result)
    except frames.FrameError:
        return failure(tool_errors.result_too_large(name))
    except MemoryError as error:
        return failure(tool_errors.from_exception(name, error))
    except (TypeError, ValueError) as error:
        return failure(tool_errors.bad_result(name, str(error)))
    return frame


def _call(request: dict[str, Any]) -> Any:
    """What the tool returns; raises what it raises. Notes what it has changed before anything else is done."""
    global _changed
    try:
        spec = _tool(str(request["entry_point"]))
        if spec.call is None:
            raise LookupError(f"{spec.name} is not installed")
        given = request["context"]
        context = ToolContext(
            **given | {"now": datetime.fromisoformat(given["now"]), "time_left": timedelta(seconds=given["time_left"])}
        )
        result = spec.call(context, **request["input"])
        return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result
    finally:
        _changed = changes_since(_found)


@lru_cache(maxsize=256)
def _tool(entry_point: str) -> ToolSpec:
    """The tool, imported at its first call. What its module sets up then is there for every call of this process."""
    global _found
    spec = EntryPoint(name="", value=entry_point, group="").load()
    if not isinstance(spec, ToolSpec):
        raise TypeError(f"{entry_point} is not a tool")
    _found = process_state()
    return spec


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def _failure(error: PipelineError, trace: str | None, *, call: str) -> bytes:
    """The frame for a storable error, which with its traceback is never larger than a frame may be."""
    fields = tool_errors.as_fields(error)
    return frames.encode({"call": call, "error": fields, "traceback": trace, "retire": _left_behind()})


def _trace() -> str:
    """The traceback of the exception that is being handled: its beginning and its end where it is long."""
    try:
        text = storable(traceback.format_exc())
    except Exception:  # noqa: BLE001 - the tool's own classes are asked, and memory may be short
        return "the traceback cannot be read"
    half = _LONGEST_TEXT // 2
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]}\n…\n{text[-half:]}"


def _refuse_nan(value: Any) -> None:
    """Raises ValueError where a number is not finite: the encoder would turn it into null without a word."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, float) and not math.isfinite(inner):
            raise ValueError(f"the number {inner} is not finite")
        if isinstance(inner, dict):
            waiting.extend(inner.values())
        elif isinstance(inner, (list, tuple)):
            waiting.extend(inner)


def _left_behind() -> list[str]:
    """What the call has left that another run must not meet, in words; where it is anything, this process serves no
    other call."""
    found = [
        *(f"another {name}" for name in _changed),
        *(["a thread"] if threading.active_count() > 1 else []),
        *(["a timer"] if any(signal.getitimer(timer) != (0.0, 0.0) for timer in _TIMERS) else []),
        *(["open files or memory"] if _is_heavier() else []),
    ]
    return [*found, "a child process"] if _has_children() else found


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
