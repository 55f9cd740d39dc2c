"""A simulation for the web process, in a process of its own: what it costs is bounded and cannot harm the requests.

The child is the command `simulate --jsonl` of this installation: one line in, one line out. It is given so many
seconds and so much memory, and only a few run at a time.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from pipelines.management.simulation_lines import tool_field
from pipelines.servers.addresses import PREFIX
from pipelines.servers.offers import current_catalog
from scheduling.errors import NotValid, SchedulingError

logger = logging.getLogger(__name__)

SECONDS = 15
MEMORY = 1024  # MiB of address space, of which an idle Python with Django maps a quarter
AT_A_TIME = 2  # of one web process
LARGEST_ANSWER = 16 * 1024 * 1024  # bytes: what a container's result may have, too

_turns = threading.BoundedSemaphore(AT_A_TIME)


class SimulationTooLong(SchedulingError):
    """The simulation takes longer than it may."""

    code = "simulation_too_long"
    status = 422


class SimulationTooLarge(SchedulingError):
    """The simulation needs more memory than it may have, or its answer is too large."""

    code = "simulation_too_large"
    status = 422


class SimulationsBusy(SchedulingError):
    """As many simulations are running as may."""

    code = "simulations_busy"
    status = 503
    retry_after = 2


class SimulationChildError(RuntimeError):
    """The child ended without an answer; the log has what it printed."""


def simulate_in_child(document: Any, **given: Any) -> dict[str, Any]:
    """The answer of `simulate --json` for a document, or for its YAML or JSON text.

    `given` are the other fields of a line (`params`, `event`, `cancel_at`, `now`, `expressions`) as JSON values. An
    invalid document is answered by `{"state": "invalid", "problems": [...]}`. Waits up to `SECONDS`; reads the tools of
    tool servers from the database. Raises SimulationTooLong, SimulationTooLarge, SimulationsBusy, and NotValid for what
    a line cannot carry.
    """
    with _turn():
        line = orjson.dumps({"document": document, "tools": _served_tools(document), **given})
        answered: dict[str, Any] = orjson.loads(_ask(line))
    if "state" not in answered:
        error = answered["error"]
        if error["code"] == "too_large":
            raise SimulationTooLarge(hint=_HINT)
        raise NotValid(error["detail"])
    if answered["state"] == "invalid":
        return {"state": "invalid", "problems": answered["problems"]}
    return answered


_HINT = "Simulate it with `manage.py simulate`, or let a worker do so: POST /api/v1/tasks/{id}/run with simulate: true."


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(blocking=False):
        raise SimulationsBusy(hint="Send it again in a moment.")
    try:
        yield
    finally:
        _turns.release()


def _served_tools(document: Any) -> list[dict[str, Any]]:
    """The tools of tool servers that the document may name: the child asks no database for them."""
    text = document if isinstance(document, str) else orjson.dumps(document).decode()
    if PREFIX not in text:
        return []
    tools = current_catalog()
    named = (tools.get(name) for name in tools.names() if name.startswith(PREFIX) and name in text)
    return [tool_field(spec) for spec in named if spec is not None]


def _ask(line: bytes) -> bytes:
    """The child's line. Nothing of the child is left when this returns or raises."""
    process = subprocess.Popen(  # noqa: S603 - argv of our own, no shell
        # -P keeps the working directory off the import path; what this process can import the child can.
        [sys.executable, "-P", "-m", "django", "simulate", "--jsonl", f"--seconds={SECONDS}", f"--memory={MEMORY}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **_own_environment()},
        start_new_session=True,
    )
    try:
        answer, printed = process.communicate(line + b"\n", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise SimulationTooLong(f"The simulation takes longer than {SECONDS} seconds.", hint=_HINT) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return _read(process.returncode, answer, printed)


def _read(status: int, answer: bytes, printed: bytes) -> bytes:
    if status == -signal.SIGALRM:
        raise SimulationTooLong(f"The simulation takes longer than {SECONDS} seconds.", hint=_HINT)
    if status < 0 or b"MemoryError" in printed or len(answer) > LARGEST_ANSWER:
        raise SimulationTooLarge(hint=_HINT)
    # A tool that is called for real may have printed something before.
    lines = answer.splitlines()
    if status != 0 or not lines:
        text = printed[-4000:].decode(errors="replace")
        logger.error("a simulation ended with status %s; it printed: %s", status, text)
        raise SimulationChildError(f"the child of a simulation ended with status {status}")
    return lines[-1]


def _own_environment() -> Mapping[str, str]:
    settings = os.environ.get("DJANGO_SETTINGS_MODULE", "ordinaut_project.settings")
    paths = os.pathsep.join(path for path in sys.path if path)
    return {"DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": paths}
