"""How a worker process ends: its exit codes, and the words for them in the log, in its row and in the console.

`runworkers` itself ends with 0 after an orderly stop.
"""

import signal
from collections.abc import Mapping
from types import MappingProxyType

from workers.supervisor import describe_exit

DRAINED = 0  # also what a tool may give that ends the interpreter
FAILED = 1  # Python's
MISUSED = 2  # argparse's
HURRIED = 3
ABORTED = 70
ORPHANED = 71

# By exit code; of a signal the negative number. Whoever ends a process with another one puts it here.
WORDS: Mapping[int, str] = MappingProxyType(
    {
        DRAINED: "drained: everything was finished or handed back",
        FAILED: "an error that nobody caught: its log has the traceback",
        MISUSED: "its arguments were refused: `manage.py runworkers` starts it, nobody else",
        HURRIED: "stopped at once: everything was put back",
        ABORTED: "gave up: no acknowledged beat in time, or an error of its own; it dropped its runs, settled nothing",
        ORPHANED: "no supervisor greeted it: `manage.py runworkers` starts it, nobody else",
        -signal.SIGTERM: "asked to stop before it could drain",
        -signal.SIGKILL: "killed: by its host, by somebody, or by the kernel because memory ran out",
        -signal.SIGSEGV: "crashed in native code",
        -signal.SIGBUS: "crashed in native code",
        -signal.SIGABRT: "native code gave up",
    }
)

# Reasons of processes that have ended because their host did: nobody starts another one.
KILLED_AT_STOP = "killed at the end of its grace"
_WITH_HOST = "ended with its host: "


def ended_with_host(words: str) -> str:
    """The reason of one that ended with its host, and how."""
    return f"{_WITH_HOST}{words}"


def is_of_hosts_end(reason: str) -> bool:
    return reason == KILLED_AT_STOP or reason.startswith(_WITH_HOST)


def exit_words(code: int) -> str:
    """`exit code 3 (what that means)`, of a signal `SIGKILL (what that means)`; without meaning where none is known."""
    words = WORDS.get(code)
    return f"{describe_exit(code)} ({words})" if words else describe_exit(code)
