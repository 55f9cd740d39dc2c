"""Limits that a command sets to its own process, for whoever starts it and must not suffer from it."""

import contextlib
import resource
import signal
from pathlib import Path

_MEBIBYTE = 1024 * 1024


def limit_process(*, seconds: int | None, mebibytes: int | None) -> None:
    """End this process by SIGALRM after so many seconds, and refuse it more address space; None: no limit.

    The alarm holds where the one who started the process is gone, and cannot be held up by a computation.
    """
    if seconds is not None:
        signal.alarm(seconds)
    if mebibytes is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (mebibytes * _MEBIBYTE, mebibytes * _MEBIBYTE))
        # The first to go when the machine's memory runs out, before the web process.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
