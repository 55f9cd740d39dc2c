"""Where calendars come from: the web, through the guard, or one folder of this host. Nowhere else."""

import asyncio
import os
import re
import stat
from pathlib import Path

import httpx2

from pipelines import conf
from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.http_client import Outgoing, exchange, web_address

MAX_BYTES = 5 * 1024 * 1024
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def read_source(source: str, *, seconds: float, offline: bool = False) -> bytes:
    """The bytes of a calendar, at most 5 MB. Raises PipelineError, also for a URL where this is to be `offline`; a URL
    may take `seconds` in all."""
    if _SCHEME.match(source):
        if offline:
            raise _refused("offline", "a simulated run reads no URL, only files; give the step a fixture")
        return asyncio.run(_fetch(source, seconds))
    return _read_file(source)


async def _fetch(source: str, seconds: float) -> bytes:
    try:
        url = web_address(re.sub(r"^webcals?:", "https:", source, flags=re.IGNORECASE))
    except ValueError as error:
        raise _refused("bad_argument", f"source: {error}", ErrorClass.VALIDATION) from None
    headers = httpx2.Headers({"accept": "text/calendar, */*;q=0.1", "user-agent": "Ordinaut"})
    answer = await exchange(Outgoing(method="GET", url=url, headers=headers), seconds=seconds, max_bytes=MAX_BYTES)
    return answer.content


def _read_file(name: str) -> bytes:
    folder = conf.calendar_dir()
    if folder is None:
        raise _refused("calendar_refused", "no calendar folder is configured; an operator sets ORDINAUT_CALENDAR_DIR")
    path = _inside(folder, name)
    try:
        # Not blocking: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _refused("calendar_refused", "the source is not a regular file")
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _refused("not_found", f"the calendar folder has no file {name!r}") from None
    except OSError as error:
        raise _refused("not_readable", f"the file cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise _refused("too_large", f"the calendar is larger than {MAX_BYTES} bytes", ErrorClass.LIMIT)
    return content


def _inside(folder: Path, name: str) -> Path:
    """The file that `name` means, links followed, where it lies in `folder`. Raises PipelineError where it does not."""
    parts = Path(name).parts
    if "\0" in name or "\\" in name or Path(name).is_absolute() or ".." in parts:
        raise _refused("calendar_refused", "a file is named relative to the calendar folder, without ..")
    try:
        root = folder.resolve(strict=True)
    except OSError:
        raise _refused("calendar_refused", "ORDINAUT_CALENDAR_DIR does not exist on this host") from None
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise _refused("calendar_refused", "the file lies outside the calendar folder")
    return path


def _refused(code: str, detail: str, error_class: ErrorClass = ErrorClass.PERMANENT) -> PipelineError:
    return PipelineError(code, error_class, f"calendar.list_events: {detail}")
