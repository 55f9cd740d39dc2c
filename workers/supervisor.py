"""Child processes that never outlive their parent: starting, watching, restarting and stopping them in order.

Two hosts use this module: `manage.py up` (PostgreSQL, Valkey, web, clock, workers) and `runworkers --processes`. It
knows no Django, so that either may start before settings are read.

How nothing survives:

- Each child leads its own session, so that Ctrl-C in a terminal reaches the supervisor alone, which then stops the
  children in its own order (a database must not go while workers still hand back their runs).
- Each child asks the kernel for a signal at its parent's death (`PR_SET_PDEATHSIG`). The kernel watches the *thread*
  that spawned it: spawn from the main thread, or the child dies with some short-lived helper thread.
- A supervisor below a supervisor makes the same request for its own children, so SIGKILL of the top one falls
  through the whole tree.

Where the kernel lacks that request (not Linux) the orderly stop still holds; only SIGKILL of the parent leaves
children behind.
"""

import contextlib
import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec only the call itself may run.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_BACKOFF_FIRST = 0.25
_BACKOFF_MAX = 15.0
_STEADY_AFTER = 30.0
_HURRIED_GRACE = 2.0
_POLL = 1.0


class SupervisorError(RuntimeError):
    """A child process could not be started or supervised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to run and how to end it.

    `stop_signal` asks the child to end; after `grace` seconds its whole process group is killed. `death_signal` is
    what the kernel sends it when the supervisor itself dies. With `restart` an ended child is started again after a
    growing delay; without, its end stops the supervisor, which then reports failure. `log` takes standard output and
    error, appended; None inherits the supervisor's. `env` is added to the supervisor's environment. `pass_fds` are
    kept open in the child.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    log: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    grace: float = 10.0
    restart: bool = True
    pass_fds: tuple[int, ...] = ()


class Child:
    """One running process of a spec, in its own session."""

    def __init__(self, spec: ChildSpec, process: subprocess.Popen[bytes], started_at: float) -> None:
        self.spec = spec
        self.process = process
        self.started_at = started_at

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it. Reaps."""
        return self.process.poll()

    def ask_to_stop(self) -> None:
        """Send the stop signal; nothing happens when the child has ended already."""
        self.process.send_signal(self.spec.stop_signal)

    def kill(self) -> None:
        """SIGKILL the child's whole process group and reap it."""
        # The group outlives its leader while a grandchild runs, so this is right for an ended child as well.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, *, grace: float | None = None) -> int:
        """Ask, wait at most the grace, then kill; returns the exit code."""
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(self.spec.grace if grace is None else grace)
        self.kill()
        return self.process.returncode


def die_with_parent(death_signal: signal.Signals) -> None:
    """Ask the kernel to send this process `death_signal` when the thread that started it ends (Linux only)."""
    if _libc is not None and _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal)) != 0:
        raise SupervisorError(f"the kernel refused PR_SET_PDEATHSIG (errno {ctypes.get_errno()})")


def spawn(spec: ChildSpec) -> Child:
    """Start a child of the spec. Must run in the main thread (see the module's notes).

    Raises SupervisorError when the program cannot be started.
    """
    if threading.current_thread() is not threading.main_thread():
        raise SupervisorError("children are spawned from the main thread, whose death is the parent's death")
    parent = os.getpid()

    def in_child() -> None:
        die_with_parent(spec.death_signal)
        # The parent may have died between fork and the request, and then no signal will ever come.
        if os.getppid() != parent:
            os._exit(1)

    with _output(spec.log) as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - argv of our own, no shell
                spec.argv,
                env=None if spec.env is None else {**os.environ, **spec.env},
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=spec.pass_fds,
                start_new_session=True,
                preexec_fn=in_child,
            )
        except OSError as error:
            raise SupervisorError(f"{spec.name} could not be started: {error}") from error
        except subprocess.SubprocessError as error:
            raise SupervisorError(f"{spec.name} could not be tied to its parent's life") from error
    return Child(spec, process, time.monotonic())


@contextlib.contextmanager
def _output(log: Path | None) -> Iterator[IO[bytes] | None]:
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        yield output


class Supervisor:
    """Keeps children running and stops them in the reverse of the order they were started in.

    `start()` as many as needed, then `run()`, which returns the exit code when a SIGTERM or SIGINT has come or a
    child that is not to be restarted has ended. A second signal hurries: the stop signal is sent again and the grace
    is cut to two seconds. `on_exit(child, exit_code)` is called for each child that ended unasked, before a restart, in
    place of a log line; `on_start(child)` for each start; `on_pass()` about once a second. Hooks run in the main thread
    and must be short.
    With `stops_together` the children have no order among them: all are asked at once and share one grace.
    """

    def __init__(
        self,
        *,
        on_start: Callable[[Child], None] | None = None,
        on_exit: Callable[[Child, int], None] | None = None,
        on_pass: Callable[[], None] | None = None,
        stops_together: bool = False,
    ) -> None:
        self.children: dict[str, Child] = {}
        self._on_start = on_start
        self._on_exit = on_exit or _log_exit
        self._on_pass = on_pass
        self._stops_together = stops_together
        self._due: dict[str, tuple[float, ChildSpec]] = {}
        self._delays: dict[str, float] = {}
        self._retired: set[str] = set()  # who is to stop for good; other threads add to it
        self._retiring: dict[str, float] = {}  # those of them that were asked, and when they are killed
        self._stops_asked = 0
        self._exit_code = 0
        self._order: list[str] = []
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)

    def start(self, spec: ChildSpec) -> Child:
        """Start a child now and keep it. Names are unique; a name keeps its place in the stop order."""
        child = spawn(spec)
        self.children[spec.name] = child
        if spec.name not in self._order:
            self._order.append(spec.name)
        if self._on_start:
            self._on_start(child)
        return child

    def retire(self, name: str) -> None:
        """Ask one child to stop for good: it is killed at the end of its grace, and not started again. `on_exit` is
        called at its end, as for any other, and may itself retire the child that has ended. A child that is waiting to
        be started again is forgotten. To repeat it changes nothing. May be called from another thread."""
        self._retired.add(name)
        self._wake()

    def ask_to_stop(self) -> None:
        """Make `run()` end; safe from a signal handler."""
        self._stops_asked += 1
        self._wake()

    @property
    def is_stopping(self) -> bool:
        return self._stops_asked > 0

    @property
    def exit_code(self) -> int:
        """1 once a child that is not to be restarted has ended unasked, else 0."""
        return self._exit_code

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as requests to stop, and wake at a child's end, while the block runs."""

        def ask(_number: int, _frame: FrameType | None) -> None:
            self.ask_to_stop()

        def wake(_number: int, _frame: FrameType | None) -> None:
            self._wake()

        wanted = {signal.SIGTERM: ask, signal.SIGINT: ask, signal.SIGCHLD: wake}
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self) -> int:
        """Supervise until asked to stop, then stop every child in order; returns the exit code."""
        with self.signals():
            try:
                while not self.is_stopping:
                    self.wait(self.run_once())
            finally:
                self.stop()
        return self._exit_code

    def run_once(self) -> float:
        """Look at every child once: note ends, start what is due. Returns the seconds until the next look."""
        now = time.monotonic()
        self._ask_the_retired(now)
        for child in list(self.children.values()):
            exit_code = child.exit_code
            if exit_code is not None:
                self._note_end(child, exit_code, now)
            elif now > self._retiring.get(child.spec.name, now):
                logger.warning("%s did not stop within its grace and is killed", child.spec.name)
                child.kill()
                self._note_end(child, child.process.returncode, now)
        for name, (due_at, spec) in list(self._due.items()):
            if due_at <= now and not self.is_stopping:
                del self._due[name]
                self.start(spec)
        if self._on_pass:
            self._on_pass()
        return min([_POLL, *(max(0.0, due_at - now) for due_at, _ in self._due.values())])

    def _ask_the_retired(self, now: float) -> None:
        for name in list(self._retired):
            child = self.children.get(name)
            if child is None:
                self._retired.discard(name)
                if self._due.pop(name, None) is not None:
                    self._order.remove(name)
            elif name not in self._retiring:  # to ask twice would be to hurry it
                self._retiring[name] = now + child.spec.grace
                child.ask_to_stop()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_writer, b".")

    def wait(self, seconds: float) -> None:
        """Sleep until a signal, a child's end or the time is up."""
        select.select([self._wake_reader], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, 4096)

    def stop(self) -> None:
        """Stop all children, the last started first, each before the next. Safe to call twice."""
        self._due.clear()
        children = [self.children.pop(name) for name in reversed(self._order) if name in self.children]
        for group in [children] if self._stops_together else [[child] for child in children]:
            self._stop_group(group)

    def _stop_group(self, group: list[Child]) -> None:
        """As `Child.stop`, for several at once; a further request to stop cuts their grace short."""
        asked = self._stops_asked  # read first: one that comes while they are being asked is a further one
        for child in group:
            if child.spec.name not in self._retiring:  # it was asked; to ask again would be to hurry it
                child.ask_to_stop()
        ends_at = time.monotonic() + max((child.spec.grace for child in group), default=0.0)
        while (running := [child for child in group if child.exit_code is None]) and time.monotonic() < ends_at:
            # Bounded: outside `signals()` no SIGCHLD wakes us.
            self.wait(max(0.0, min(ends_at - time.monotonic(), 0.05)))
            if self._stops_asked > max(asked, 1):
                asked = self._stops_asked
                for child in running:
                    child.ask_to_stop()
                ends_at = min(ends_at, time.monotonic() + _HURRIED_GRACE)
        for child in group:
            if child.exit_code is None:
                logger.warning("%s did not stop within its grace and is killed", child.spec.name)
            child.kill()

    def _note_end(self, child: Child, exit_code: int, now: float) -> None:
        name = child.spec.name
        del self.children[name]
        child.kill()  # what it may have left in its process group
        self._on_exit(child, exit_code)
        if name in self._retired:
            self._retired.discard(name)
            self._retiring.pop(name, None)
            self._order.remove(name)
            return
        if not child.spec.restart:
            self._exit_code = 1
            self.ask_to_stop()
            return
        was_steady = now - child.started_at >= _STEADY_AFTER
        delay = _BACKOFF_FIRST if was_steady else self._delays.get(name, _BACKOFF_FIRST)
        self._delays[name] = min(_BACKOFF_MAX, delay * 2)
        self._due[name] = (now + delay, child.spec)


def _log_exit(child: Child, exit_code: int) -> None:
    then = "it is started again" if child.spec.restart else "everything stops"
    logger.error("%s ended with %s, %s", child.spec.name, describe_exit(exit_code), then)


def describe_exit(exit_code: int) -> str:
    """`exit code 3` or `SIGKILL`."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
