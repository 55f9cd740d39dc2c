"""The effect ledger: what tools really did, one line at the beginning and one at the end of each call.

A line is one write to a file opened for appending, and is on disk before the tool goes on. No database is involved.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

PLACE = "ORDINAUT_CHAOS_LEDGER"  # the variable that names the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`what`: begin or end. `worker`: the pid of the worker process, also where the tool runs in one of its own.
    `at`: seconds of the host's clock, which is the database's too."""

    what: str
    run: str
    path: str
    attempt: int
    epoch: int
    key: str
    kind: str
    pid: int
    worker: int
    at: float


def left_in(ledger: Path) -> Path:
    """The folder of what tools have left behind, see `tests.leftovers`: beside the ledger."""
    return ledger.parent / "left"


def append(line: Line) -> None:
    """Write and wait until it is on disk."""
    content = json.dumps(asdict(line)).encode() + b"\n"
    descriptor = os.open(os.environ[PLACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> list[Line]:
    """All whole lines, in the order in which they were written; a line that a kill cut short was never finished."""
    if not path.exists():
        return []
    return [Line(**json.loads(line)) for line in path.read_bytes().split(b"\n") if line.endswith(b"}")]


def now() -> float:
    return time.time()
