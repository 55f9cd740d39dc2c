"""Killing a process together with all that it started, also what left its process group; and how much memory a process
holds. Linux, by /proc."""

import os
import signal
from contextlib import suppress
from pathlib import Path

_ROUNDS = 100
_DEAD_STATES = frozenset("ZX")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def kill_tree(root: int) -> None:
    """SIGKILL `root` and every living descendant; nothing of the tree runs on afterwards.

    The root is stopped first, so that it starts nothing new. It must be a child subreaper (see the runner): then what
    a dead descendant leaves behind becomes the root's own child and is found in the next round.
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


def descendants(root: int) -> list[int]:
    """The pids of the living processes below `root`, parents before children."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    level = [root]
    while level:
        level = [child for pid in level for child in children.get(pid, [])]
        found += level
    return found


def _parents() -> list[tuple[int, int]]:
    """(pid, parent) of every process that is not dead."""
    pairs = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # A process may end between the listing and the reading.
        with suppress(OSError):
            # The name in parentheses may hold spaces and parentheses itself; what follows the last one does not.
            state, parent, *_ = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if state not in _DEAD_STATES:
                pairs.append((int(entry.name), int(parent)))
    return pairs


def resident_memory(pid: int) -> int | None:
    """Bytes of memory that a process has in RAM; None where it has ended, and where there is no /proc."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return None
