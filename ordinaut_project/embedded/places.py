"""Folders of the embedded stack: private ones, the lock of one, and short paths for sockets."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO

from ordinaut_project.embedded.binaries import EmbeddedError

# The kernel's limit of a socket address is 108 bytes with the final NUL.
_LONGEST_SOCKET_PATH = 107


def make_private(folder: Path) -> Path:
    """Create the folder, with its parents, readable by its owner alone; returns it resolved."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"the folder {folder} cannot be used: {error.strerror}") from error
    return folder.resolve()


def socket_folder(wanted: Path, *, longest_name: str) -> Path:
    """`wanted`, or a private folder in the temporary directory where a socket's path in it would be too long.

    The other folder's name is made of the wanted path, so that each start finds the same one. A folder of that name
    that belongs to somebody else is refused.
    """
    if len(os.fsencode(wanted / longest_name)) <= _LONGEST_SOCKET_PATH:
        return make_private(wanted)
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"ordinaut-{os.getuid()}-{digest}"
    if len(os.fsencode(folder / longest_name)) > _LONGEST_SOCKET_PATH:
        folder = Path("/tmp", folder.name)  # noqa: S108 - checked below to be ours and private
    if folder.is_symlink() or (folder.exists() and folder.stat().st_uid != os.getuid()):
        raise EmbeddedError(f"the socket folder {folder} belongs to somebody else: remove it or move the data")
    return make_private(folder)


class FolderLock:
    """Holds a folder for one process, until `release()` or the process's end.

    The lock is the kernel's (flock), so a killed holder leaves nothing to clean up; the file names the holder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: IO[str] | None = None

    def require_free(self) -> None:
        """Raises EmbeddedError when another process holds the folder now. Changes nothing, promises nothing."""
        with contextlib.suppress(FileNotFoundError), self._path.open(encoding="ascii") as file:
            self._lock(file, fcntl.LOCK_SH)

    def acquire(self) -> None:
        """Raises EmbeddedError when another process holds the folder."""
        file = self._path.open("a+", encoding="ascii")
        try:
            self._lock(file, fcntl.LOCK_EX)
        except EmbeddedError:
            file.close()
            raise
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lock(self, file: IO[str], kind: int) -> None:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise EmbeddedError(f"{self._path.parent} is already in use by process {holder}") from None
