"""The parent of an isolated tool process: runs no tool itself, and outlives none of what a tool has started.

A tool may fork, leave its session and its process group, and end its own interpreter, so that nobody could tell any
more whose children those are. They fall to the warden, a child subreaper, which kills what falls to it until the kernel
says that it has no child at all: then nothing of the tree lives. No list of processes could say that: one that forks
and ends at once, again and again, is never in it.

The warden ends as the process of the tools did, after everything is gone: when that has ended by itself, when the
worker asks for it (SIGTERM), and when the worker has died (the same signal, from the kernel).

Limits: a tool that kills the warden sets free what it started, and a program that has gained other rights cannot be
killed; only a control group or a PID namespace, which a container gives, ends those too.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time

from pipelines.tools.process_tree import children

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_WAKES = (signal.SIGTERM, signal.SIGCHLD)
_KILLS_FOR = 10.0  # seconds
_PAUSE = 0.0005  # seconds between two rounds; what forks without an end must not be given more


def watch_over_a_child(worker: int) -> None:
    """Fork. Returns in the child, which may run tools; this process stays as its warden, and never returns.

    `worker` is the pid of the parent, with whose death everything here ends. Single-threaded, before anything is read.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAKES)
    _tie_to(worker, signal.SIGTERM)
    warden = os.getpid()
    child = os.fork()
    if child == 0:
        _tie_to(warden, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    # The protocol is the child's: as long as they were open here, too, its end would not be seen at once.
    os.close(0)
    os.close(1)
    _end_as(_status_of(child))


def _tie_to(parent: int, death_signal: signal.Signals) -> None:
    """Be told of the parent's death, and be the one to whom orphans fall."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before the tie held
        os._exit(1)


def _status_of(child: int) -> int:
    """Wait until the child has ended, or everything is to end; kill what is left. Returns the wait status of the child,
    that of a killed one where it did not end."""
    ended: dict[int, int] = {}
    while child not in ended and signal.sigwait(_WAKES) == signal.SIGCHLD:
        _reap(ended)
    ends_at = time.monotonic() + _KILLS_FOR
    while _kill_children(ended):
        if time.monotonic() > ends_at:
            sys.stderr.write(f"processes of a tool could not be killed: {children(os.getpid())}\n")
            break
        time.sleep(_PAUSE)
    return ended.get(child, signal.SIGKILL)


def _kill_children(ended: dict[int, int]) -> bool:
    """Kill the children and take note of those that have ended; True while there are others. Those of a dead child are
    children of this process: the tree grows flatter with each round."""
    # Nobody else can have such a number meanwhile: it is given back here, by `_reap`.
    for pid in children(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return _reap(ended)


def _reap(ended: dict[int, int]) -> bool:
    """Take in the wait status of those that have ended; True while there are others."""
    try:
        while (end := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            pid, status = end
            ended[pid] = status
    except ChildProcessError:
        return False
    return True


def _end_as(status: int) -> None:
    """End with the exit code, or by the signal, that another process has ended with. No core is written for it."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:  # whose action cannot be set
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))
