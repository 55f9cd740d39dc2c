"""What a tool leaves behind when it returns, and how it is found from outside: for as long as it is there, it holds the
lock of a file of its own, whichever process that is in, and only the kernel takes that from it."""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_FOR_LONG = 300.0  # seconds: what nobody ends goes by itself at last
_UNNAMED = ".new-"


@dataclass(frozen=True, slots=True)
class Leftover:
    """`worker`: the pid of the worker process that called the tool. `host`: of its supervisor."""

    path: Path
    what: str
    host: int
    worker: int

    def __str__(self) -> str:
        return f"{self.what} of worker {self.worker} (host {self.host})"

    def end(self) -> None:
        """Where it is a process."""
        with contextlib.suppress(ValueError, ProcessLookupError):
            os.kill(int(self.path.read_text()), signal.SIGKILL)


def leave(what: str, folder: Path, *, worker: int) -> None:
    """One of `ON_A_LOOP` or of `IN_A_PROCESS`; `task` and `pool` need a running loop."""
    _LEAVE[what](_lock(what, folder, worker))


def still_there(folder: Path) -> list[Leftover]:
    """Those that nobody has ended; what has ended is forgotten."""
    found = []
    for path in sorted(folder.glob("[!.]*")):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                what, host, worker, _ = path.name.split("-", 3)
                found.append(Leftover(path, what, int(host), int(worker)))
            else:
                path.unlink()
    return found


def _lock(what: str, folder: Path, worker: int) -> int:
    """A descriptor that holds the lock, whose file has its name only then."""
    folder.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=_UNNAMED, dir=folder)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    token = Path(name).name.removeprefix(_UNNAMED)
    Path(name).rename(folder / f"{what}-{_parent_of(worker)}-{worker}-{token}")
    return descriptor


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def _thread(_: int) -> None:
    """One for which an interpreter waits before it ends."""
    threading.Thread(target=time.sleep, args=(_FOR_LONG,), daemon=False).start()


def _pool(_: int) -> None:
    """In the loop's own threads."""
    asyncio.get_running_loop().run_in_executor(None, time.sleep, _FOR_LONG)


_TASKS: list[asyncio.Task[None]] = []  # or the collector ends them


def _task(_: int) -> None:
    async def stay() -> None:
        ends_at = time.monotonic() + _FOR_LONG
        while time.monotonic() < ends_at:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    _TASKS.append(asyncio.get_running_loop().create_task(stay()))


def _child(descriptor: int) -> None:
    _start(descriptor, is_daemon=False)


def _daemon(descriptor: int) -> None:
    """A process that is in no group and no session of the worker's."""
    _start(descriptor, is_daemon=True)


def _start(descriptor: int, *, is_daemon: bool) -> None:
    child = subprocess.Popen(["sleep", f"{_FOR_LONG:g}"], pass_fds=(descriptor,), start_new_session=is_daemon)
    os.write(descriptor, str(child.pid).encode())
    os.close(descriptor)


def _file(_: int) -> None:
    """Open, and that is all."""


_LEAVE: dict[str, Callable[[int], None]] = {
    "thread": _thread,
    "pool": _pool,
    "task": _task,
    "child": _child,
    "daemon": _daemon,
    "file": _file,
}
ON_A_LOOP = tuple(_LEAVE)
IN_A_PROCESS = ("thread", "child", "daemon", "file")
