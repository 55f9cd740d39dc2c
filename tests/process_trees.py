"""Whole trees of processes, seen from outside."""

import os
from pathlib import Path


def is_alive(pid: int) -> bool:
    """True while the process runs; a zombie counts as gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


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
