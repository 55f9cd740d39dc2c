"""Real processes for tests: `manage.py` commands that are ended, whatever the test does."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def inherited_env() -> dict[str, str]:
    """The environment of this process, without what makes pytest and coverage meddle with others."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}


@contextmanager
def manage(*arguments: str, env: dict[str, str], log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A running `manage.py` command in a session of its own; SIGTERM and then SIGKILL at the end of the block."""
    with (log or Path("/dev/null")).open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=ROOT,
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes], *, grace: float = 15.0) -> int:
    """Ask, wait, then kill; return the exit code. A process that has ended already is fine."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait(10)
