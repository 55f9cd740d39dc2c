"""Whose a state directory is: only a folder of our own is closed to others, filled and emptied.

A folder becomes ours when we make it or find it empty, and carries a mark from then on. Everything else is somebody's
own folder, given by mistake: it is refused before anything in it changes.
"""

import os
import stat
from pathlib import Path

from ordinaut_project.embedded.binaries import EmbeddedError
from ordinaut_project.embedded.places import make_private

MARK = ".ordinaut-state"
_MARK_TEXT = "Made by `manage.py up`, which keeps its data in this folder and removes them at --reset.\n"
# How the files begin that starts from before the mark left behind.
_NOTES = {"env": b"# Written by `manage.py up`", "seeded": b'{"fingerprint": '}
_OTHERWISE = "choose another folder by --data-dir"


def require_claimable(folder: Path) -> None:
    """Raises EmbeddedError, in one line, for a folder that is neither ours nor missing nor free to take.

    Changes nothing.
    """
    try:
        status = folder.stat()
        names = {path.name for path in folder.iterdir()}
        is_ours = MARK in names or any(_begins_with(folder / name, start) for name, start in _NOTES.items())
    except FileNotFoundError:
        return
    except OSError as error:
        raise EmbeddedError(f"the folder {folder} cannot be used: {error.strerror}") from error
    if status.st_uid != os.geteuid():
        raise EmbeddedError(f"the folder {folder} belongs to another user: {_OTHERWISE}")
    if status.st_mode & (stat.S_ISVTX | stat.S_IWOTH):
        raise EmbeddedError(f"the folder {folder} is open to every user's files: {_OTHERWISE}")
    if names and not is_ours:
        raise EmbeddedError(f"the folder {folder} is not empty and was not made by `up`: {_OTHERWISE}")


def claim(folder: Path) -> None:
    """Make the folder where it is missing, mark it as ours and close it to others. Raises EmbeddedError."""
    require_claimable(folder)
    make_private(folder)
    try:
        (folder / MARK).write_text(_MARK_TEXT, encoding="ascii")
    except OSError as error:
        raise EmbeddedError(f"the folder {folder} cannot be used: {error.strerror}") from error


def _begins_with(path: Path, start: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(start)) == start
