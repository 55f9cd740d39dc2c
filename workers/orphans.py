"""What tools have started and left behind, and its end once the process that they ran in has ended.

A worker leads a session, and its process group is killed at its end. What has left that group (a daemon, whatever an
isolated tool has started, since that leads a session of its own) loses its parent then, and would fall to init and run
on for ever, with the files and locks that it holds. So a host asks the kernel to have such orphans fall to it, and ends
those that belong to no worker which still lives. What a living worker's tools have at work has a living parent below
that worker; of an orphan that has also left the worker's session nobody can tell whose it was, and it ends with the
next worker that does.

The death of the host itself leaves nobody to whom orphans could fall: only a control group or a PID namespace, which
service managers and containers give, ends those.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Collection

import structlog

from pipelines.tools.process_tree import children, descendants

logger = structlog.get_logger(__name__)

_PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 20


def adopt_orphans() -> None:
    """Have the orphans of all processes below fall to this one (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(own: Collection[int]) -> None:
    """Take notice of orphans that have ended; `own` are the children that somebody else waits for."""
    for pid in children(os.getpid()):
        if pid not in own:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def end_orphans(own: Collection[int]) -> None:
    """SIGKILL every orphan, and what it has started, that is in the session of none of `own`, the living workers."""
    reap_orphans(own)
    ended: set[int] = set()
    for _ in range(_ROUNDS):  # what a killed one had started is an orphan in the next
        orphans = [
            pid for pid in children(os.getpid()) if pid not in own and pid not in ended and _session_of(pid) not in own
        ]
        if not orphans:
            break
        for pid in orphans:
            for each in (pid, *descendants(pid)):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(each, signal.SIGKILL)
            ended.add(pid)
    if ended:
        logger.warning("host.leftovers_ended", processes=sorted(ended), hint="A tool had left them behind.")
    reap_orphans(own)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
