"""Processes as the kernel shows them: who is whose child, and how much memory one holds. Linux, by /proc."""

import os
import signal
from contextlib import suppress
from pathlib import Path

_ROUNDS = 100
_DEAD_STATES = frozenset("ZX")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def children(parent: int) -> list[int]:
    """The pids of the children of a process, of whichever of its threads, those that nobody has waited for included."""
    try:
        found = _children_of(parent, parent)
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN: all processes are looked at instead
        return [pid for pid in _pids() if _state_and_parent(pid)[1] == parent]
    with suppress(OSError):  # a thread, or the process, may end meanwhile
        for entry in Path(f"/proc/{parent}/task").iterdir():
            if (thread := int(entry.name)) != parent:
                with suppress(OSError):
                    found += _children_of(parent, thread)
    return found


def _children_of(process: int, thread: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{thread}/children").read_bytes().split()]


def descendants(root: int) -> list[int]:
    """The pids of the living processes below `root`, of whatever thread, parents before children."""
    below: dict[int, list[int]] = {}
    for pid in _pids():
        state, parent = _state_and_parent(pid)
        if state not in _DEAD_STATES:
            below.setdefault(parent, []).append(pid)
    found: list[int] = []
    level = [root]
    while level:
        level = [child for pid in level for child in below.get(pid, [])]
        found += level
    return found


def kill_tree(root: int) -> None:
    """SIGKILL `root`, which leads a process group, and every living descendant, for programs that have no warden.

    The root is stopped first, so that it starts nothing new. It must be a child subreaper: then what a dead descendant
    leaves behind becomes the root's own child and is found in the next round.
    """
    with suppress(ProcessLookupError):
        os.kill(root, signal.SIGSTOP)
    for _ in range(_ROUNDS):
        living = descendants(root)
        if not living:
            break
        for pid in living:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(root, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(root, signal.SIGKILL)


def is_living_child(pid: int, parent: int) -> bool:
    """True while the process runs and is a child of that parent. One that nobody has waited for has ended."""
    state, its_parent = _state_and_parent(pid)
    return its_parent == parent and state not in _DEAD_STATES


def resident_memory(pid: int) -> int | None:
    """Bytes of memory that a process has in RAM; None where it has ended, and where there is no /proc."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return None


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _state_and_parent(pid: int) -> tuple[str, int]:
    """("X", 0) where the process is gone."""
    # A process may end between the opening and the reading.
    with suppress(OSError):
        # The name in parentheses may hold spaces and parentheses itself; what follows the last one does not.
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return state, int(parent)
    return "X", 0
