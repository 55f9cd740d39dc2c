"""Tools that misbehave, each in one way, and a few that do not. Isolated processes import them by name."""

import asyncio
import ctypes
import decimal
import fcntl
import gc
import io
import locale
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.base import SideEffect, ToolContext, ToolSpec, tool


def sample(**options: Any):
    """A tool of this module, named by its function, with schemas that take anything."""

    def wrap(function):
        name = function.__name__
        spec = tool(name=f"test.{name}", input_schema={}, output_schema={}, side_effect=SideEffect.PURE, **options)(
            function
        )
        return _at(spec, f"{__name__}:{name}")

    return wrap


def _at(spec: ToolSpec, entry_point: str) -> ToolSpec:
    object.__setattr__(spec, "entry_point", entry_point)
    return spec


@sample()
def echo(context: ToolContext, **given: Any) -> dict[str, Any]:
    return given | {
        "pid": os.getpid(),
        "key": context.idempotency_key,
        "now": context.now.isoformat(),
        "epoch": context.lease_epoch,
    }


@sample()
def spin(context: ToolContext, note: str) -> None:
    Path(note).write_text(str(os.getpid()))
    while True:
        pass


@sample()
def hold_the_interpreter_lock(context: ToolContext) -> None:
    # PyDLL keeps the lock during the call: no Python thread of the process can run, none could stop this.
    ctypes.PyDLL(None).sleep(600)


@sample()
def stop_the_parent(context: ToolContext, note: str) -> None:
    Path(note).write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(600)


@sample()
def ignore_signals(context: ToolContext) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)


@sample()
def exit_at_once(context: ToolContext, status: int) -> None:
    os._exit(status)


@sample()
def segfault(context: ToolContext) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@sample()
def say_exit(context: ToolContext) -> None:
    sys.exit("enough")


@sample()
def chatter(context: ToolContext, size: int) -> str:
    sys.stdout.write("x" * size)
    sys.stderr.write("\x1b[31m" + "y" * size)
    os.write(1, b"z" * size)
    sys.stdout.flush()
    return "quiet"


@sample()
def read_input(context: ToolContext) -> str:
    return sys.stdin.read() + os.read(0, 10).decode()


@sample()
def allocate(context: ToolContext, size: int) -> int:
    return len(bytearray(size))


@sample()
def leave_children(context: ToolContext, note: str, detached: bool, wait: bool) -> str:
    """Start `sleep` and write its pid to `note`; `detached`: in a session of its own, its parent gone."""
    script = f"sleep 600 & echo $! > {note}"
    subprocess.run(["sh", "-c", script], start_new_session=detached, check=True, stdout=subprocess.DEVNULL)
    if wait:
        time.sleep(600)
    return Path(note).read_text()


@sample()
def detach(context: ToolContext, lock: str, links: int, end: str) -> None:
    """Start a child that is in a session of its own and whose parents have gone. It holds `lock`, as does a chain of so
    many that each start the next and end, for half a minute. Then `end` as it says: stay, crash or return."""
    file = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            _hand_on(links)
        os._exit(0)
    os.wait()
    os.close(file)
    Path(f"{lock}.begun").touch()
    if end == "crash":
        os._exit(3)
    if end == "stay":
        time.sleep(600)


def _hand_on(links: int) -> None:
    ends_at = time.monotonic() + 30
    for _ in range(links):
        if os.fork() or time.monotonic() > ends_at:
            os._exit(0)
        os.setsid()
    time.sleep(30)
    os._exit(0)


@sample()
def leave_a_thread(context: ToolContext) -> int:
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return os.getpid()


@sample()
def environment(context: ToolContext) -> dict[str, str]:
    return dict(os.environ)


@sample()
def raise_error(context: ToolContext, kind: str) -> None:
    if kind == "pipeline":
        raise PipelineError("busy", ErrorClass.TRANSIENT, "come back", retry_after=3, cause={"queue": 7})
    raise RuntimeError("first\nsecond \x1b[31m")


class Unreadable(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("no words")


class Bare(PipelineError):
    """Has none of its fields."""

    def __init__(self) -> None:
        pass


ODD_TEXTS = {"nul": "a\0b", "surrogate": "a\ud800b", "long": "ab" * 9_000_000}


def raise_odd(kind: str, text: str) -> None:
    """A pipeline error or another exception with a text that nobody can store or send, or with none at all."""
    match kind:
        case "pipeline":
            detail = ODD_TEXTS[text]
            raise PipelineError("busy", ErrorClass.TRANSIENT, detail, retry_after=3, cause={"said": detail, "n": 7})
        case "code":
            raise PipelineError(f"busy{ODD_TEXTS[text]}", "transient", 5, retry_after=float("nan"))  # type: ignore[arg-type]
        case "other":
            raise RuntimeError(ODD_TEXTS[text])
    raise Unreadable if text == "unreadable" else Bare


@sample()
def isolated_raises_oddly(context: ToolContext, kind: str, text: str) -> None:
    raise_odd(kind, text)


@sample()
async def raises_oddly(context: ToolContext, kind: str, text: str) -> None:
    raise_odd(kind, text)


@sample(trusted=True)
def trusted_raises_oddly(context: ToolContext, kind: str, text: str) -> None:
    raise_odd(kind, text)


@sample()
def return_odd(context: ToolContext, kind: str) -> Any:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    return {
        "nan": {"a": [1.0, float("nan")]},
        "set": {1, 2},
        "surrogate": "\ud800",
        "key": {1: 2},
        "circle": circle,
        "deep": deep,
        "bytes": b"x",
    }[kind]


@sample()
def return_much(context: ToolContext, size: int, kind: str = "text") -> Any:
    """About `size` bytes of JSON."""
    if kind == "list":
        return ["x" * 1000] * (size // 1000)
    if kind == "dataclass":
        return Much("x" * size)
    return {"inside": {"x" * size: 1}} if kind == "key" else "x" * size


@dataclass
class Much:
    text: str


@sample()
async def asynchronous(context: ToolContext, seconds: float = 0.0, kind: str = "") -> str:
    await asyncio.sleep(seconds)
    if kind == "timeout":
        raise TimeoutError
    if kind == "error":
        raise RuntimeError("no")
    return "done"


@sample(trusted=True)
def trusted(context: ToolContext, seconds: float = 0.0) -> str:
    time.sleep(seconds)
    return threading.current_thread().name


@sample()
def fork_and_fall_through(context: ToolContext, how: str) -> str:
    """The child leaves the tool as its caller would: with a result, or by an exception."""
    child = os.fork()
    if child == 0:
        if how == "raise":
            raise ValueError("the child")
        return "the child"
    os.waitpid(child, 0)  # whatever it had to say is said
    return "the parent"


@sample()
def fork_and_crash(context: ToolContext, note: str) -> None:
    """The interpreter ends while a child of it lives in its process group."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    Path(note).write_text(str(pid))
    os._exit(3)


async def _cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(600)


@sample()
def isolated_ends_oddly(context: ToolContext, kind: str) -> None:
    if kind == "itself":
        asyncio.run(_cancel_itself())
    raise asyncio.CancelledError


@sample()
async def ends_oddly(context: ToolContext, kind: str) -> None:
    if kind == "itself":
        await _cancel_itself()
    if kind == "inner":
        inner = asyncio.ensure_future(asyncio.sleep(600))
        asyncio.get_running_loop().call_soon(inner.cancel)
        await inner
    raise {"exit": SystemExit(3), "generator": GeneratorExit(), "interrupt": KeyboardInterrupt()}[kind]


@sample(trusted=True)
def trusted_ends_oddly(context: ToolContext, kind: str) -> None:
    if kind == "next":
        next(iter(()))
    raise {"exit": SystemExit(3), "generator": GeneratorExit(), "canceled": asyncio.CancelledError()}[kind]


@sample()
async def stubborn(context: ToolContext, seconds: float) -> str:
    """Swallows one cancellation and goes on."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        await asyncio.sleep(0.1)
    return "late"


SURROUNDINGS = ("folder", "environment", "memory", "files", "alarm", "handler", "limit")


@sample()
def move(context: ToolContext, what: str) -> int:
    """Leave something behind that a later call would meet."""
    match what:
        case "folder":
            os.chdir("/")
        case "environment":
            os.environ["LEFT_BEHIND"] = "by another run"
        case "memory":
            _LEFT_BEHIND.append(bytearray(b"x") * 600_000_000)
        case "files":
            _LEFT_BEHIND.extend(os.dup(0) for _ in range(40))
        case "alarm":
            signal.alarm(30)
        case "handler":
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        case "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        case _:
            CHANGES[what]()
    return os.getpid()


@sample()
def leave_no_room_to_return(context: ToolContext) -> None:
    for limit in range(1, 1000):
        with suppress(RecursionError, ValueError):
            sys.setrecursionlimit(limit)
            return


def _other_locale() -> None:
    now = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C" if now != "C" else "C.UTF-8")


CHANGES = {
    "recursion limit": lambda: sys.setrecursionlimit(70),
    "higher recursion limit": lambda: sys.setrecursionlimit(100_000),
    "socket timeout": lambda: socket.setdefaulttimeout(0.01),
    "umask": lambda: os.umask(0o777),
    "nice": lambda: os.nice(3),
    "affinity": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
    "user": lambda: os.setresuid(65534, 65534, 65534),
    "group": lambda: os.setresgid(65534, 65534, 65534),
    "locale": _other_locale,
    "decimals": lambda: setattr(decimal.getcontext(), "prec", 3),
    "garbage": gc.disable,
    "trace": lambda: sys.settrace(lambda *_: None),
    "output": lambda: setattr(sys, "stdout", io.StringIO()),
    "no output": lambda: setattr(sys, "stdout", None),
    "closed output": lambda: sys.stdout.close(),
    "no environment": lambda: setattr(os, "environ", None),
}


_LEFT_BEHIND: list[Any] = []


@sample()
def use_much_that_is_put_back(context: ToolContext) -> int:
    """What tools usually do: nothing of it is there for the next call."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    decimal.Decimal(1) / decimal.Decimal(3)
    sys.stdout.write("some words")
    subprocess.run(["true"], check=True)
    asyncio.run(asyncio.sleep(0))
    with socket.socket() as unused:
        unused.settimeout(1)
    return os.getpid()
