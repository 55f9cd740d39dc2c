"""Started in place of a tool server's program, which it becomes: `launcher.py PARENT_PID PROGRAM ARGUMENT...`.

Both ties outlast the exec. The program dies with the worker, and orphans of its own fall to it, so that they are found
when it is killed. Run by path, isolated: nothing of the project is imported.
"""

import ctypes
import os
import signal
import sys

NOT_STARTED = 127
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)  # the worker died before the tie held
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - what an operator has registered
    except OSError as error:
        sys.stderr.write(f"{sys.argv[2]}: {error.strerror}\n")
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
