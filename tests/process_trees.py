"""Whole trees of processes, seen from outside."""

import contextlib
import os
import signal
from pathlib import Path

from workers.supervisor import die_with_parent


def tie_to_this_process() -> None:
    """For `preexec_fn`: what a test starts ends with the test run, even a killed one."""
    die_with_parent(signal.SIGTERM)


def is_alive(pid: int) -> bool:
    """True while the process runs; a zombie counts as gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def is_stopped(pid: int) -> bool:
    """True while a signal keeps the process from running."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent_of(pid: int) -> int:
    """Raises FileNotFoundError where the process is gone."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def processes_marked(mark: str) -> list[int]:
    """The processes whose environment carries the mark: a whole tree, whatever became of its parents."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in environment and is_alive(int(folder.name)):
            found.append(int(folder.name))
    return found


def kill_marked(mark: str) -> None:
    """SIGKILL whatever carries the mark, again until nothing does: a process may be starting another meanwhile."""
    for _ in range(20):
        marked = processes_marked(mark)
        if not marked:
            return
        for pid in marked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    raise AssertionError(f"processes that cannot be killed: {processes_marked(mark)}")
