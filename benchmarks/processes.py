"""The real processes of Ordinaut, for benchmarks that measure across them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def managing(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py` with these arguments on the benchmark's database, asked to stop at the end."""
    process = subprocess.Popen(  # noqa: S603 (our own command, words of ours)
        [sys.executable, "manage.py", *arguments],
        cwd=_ROOT,
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
