"""The state of a process that its next call would meet, by which it is judged after each call of a synchronous tool.

Only what the process itself keeps, and what can be looked at in no time: this is done for every call. Functions that a
tool has replaced in modules, and what it keeps in variables of modules, are not seen.
"""

import decimal
import gc
import locale
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_RECURSION = "recursion limit"
_LIMITS = [value for name, value in vars(resource).items() if name.startswith("RLIMIT_")]
_SIGNALS = sorted(signal.valid_signals())

ProcessState = Mapping[str, Any]


def process_state() -> ProcessState:
    """What the process has now, by what people call it. For its main thread, and while no other thread works."""
    return {name: _seen(look) for name, look in _LOOKS.items()}


def changes_since(before: ProcessState) -> list[str]:
    """What is not as it was, by name; what cannot be looked at any more counts as changed.

    Puts back the recursion limit, for whoever looks needs some room, and whoever tells of it does.
    """
    limit = sys.getrecursionlimit()
    if limit != before[_RECURSION]:
        sys.setrecursionlimit(before[_RECURSION])
    now = {**process_state(), _RECURSION: limit}
    return [name for name in before if now[name] != before[name]]


def _seen(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except Exception:  # noqa: BLE001 - a tool may have put anything in the place of anything
        return object()  # which is like nothing else


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # a tool has removed it
        return ""


def _umask() -> int:
    """Nothing but setting it tells it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in _SIGNALS]


def _arithmetic() -> tuple[Any, ...]:
    """Without its flags, which every computation sets."""
    context = decimal.getcontext()
    traps = sorted(trap.__name__ for trap, is_set in context.traps.items() if is_set)
    return context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp, traps


def _streams() -> list[tuple[int, Any]]:
    return [(id(stream), getattr(stream, "closed", None)) for stream in (sys.stdin, sys.stdout, sys.stderr)]


_LOOKS: Mapping[str, Callable[[], Any]] = {
    _RECURSION: sys.getrecursionlimit,
    "environment": lambda: dict(os.environ),
    "working directory": _folder,
    "umask": _umask,
    "user": lambda: (os.getresuid(), os.getresgid(), os.getgroups()),
    "nice value": lambda: os.getpriority(os.PRIO_PROCESS, 0),
    "scheduling policy": lambda: os.sched_getscheduler(0),
    "CPU affinity": lambda: os.sched_getaffinity(0),
    "resource limits": lambda: [resource.getrlimit(each) for each in _LIMITS],
    "signal handlers": _handlers,
    "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    "default timeout of sockets": socket.getdefaulttimeout,
    "locale": lambda: locale.setlocale(locale.LC_ALL),
    "time zone": lambda: (time.tzname, time.timezone),
    "decimal context": _arithmetic,
    "garbage collection": lambda: (gc.isenabled(), gc.get_threshold()),
    "tracing": lambda: (sys.gettrace(), sys.getprofile()),
    "standard streams": _streams,
}
