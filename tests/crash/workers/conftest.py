"""Real worker hosts with short times, real tools that keep a ledger, and committed rows."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scheduling.models import DueWork
from tests import worker_tools
from tests.process_trees import is_alive, kill_marked, processes_marked
from tests.processes import ROOT, manage
from tests.sessions import wait_for_sessions_to_end
from tests.waiting import wait_until
from tests.workers_support import due_work
from workers.models import Worker

TIMES = {
    "ORDINAUT_BEAT_INTERVAL": "0.3",
    "ORDINAUT_ABORT_AFTER": "3",
    "ORDINAUT_REAP_AFTER": "4",
    "ORDINAUT_GRACE": "1",
}


@dataclass
class Fleet:
    """Worker hosts on this test's database. `signal_file` lets held tools go on."""

    env: dict[str, str]
    folder: Path
    mark: str

    @property
    def ledger(self) -> list[dict[str, Any]]:
        path = self.folder / "ledger"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def seen(self, what: str, step: str = "") -> list[dict[str, Any]]:
        return [line for line in self.ledger if line["what"] == what and step in ("", line["step"])]

    @property
    def signal_file(self) -> str:
        return str(self.folder / "go")

    def release(self) -> None:
        Path(self.signal_file).touch()

    def host(self, name: str = "host", **options: Any) -> AbstractContextManager[subprocess.Popen[bytes]]:
        given = {"processes": 1, "concurrency": 4, **options}
        arguments = [f"--{option.replace('_', '-')}={value}" for option, value in given.items()]
        return manage("runworkers", *arguments, env=self.env, log=self.folder / f"{name}.log")

    def held_run(self, *, tool: str = "test.hold", **fields: Any) -> DueWork:
        """A run of three steps whose second waits for the signal file."""
        steps = [
            {"id": "before", "uses": "test.note"},
            {"id": "held", "uses": tool, "with": {"until": self.signal_file}},
            {"id": "after", "uses": "test.note"},
        ]
        return due_work({"version": 1, "steps": steps}, **fields)

    def processes(self) -> list[int]:
        return processes_marked(self.mark)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


@pytest.fixture
def fleet(process_env: dict[str, str], tmp_path: Path) -> Iterator[Fleet]:
    worker_tools.install(tmp_path / "tools")
    mark = f"ORDINAUT_TEST_MARK={tmp_path}"
    env = {
        **process_env,
        **TIMES,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "tools"), str(ROOT)]),
        "ORDINAUT_TEST_MARK": str(tmp_path),
        worker_tools.LEDGER: str(tmp_path / "ledger"),
    }
    fleet = Fleet(env, tmp_path, mark)
    yield fleet
    kill_marked(mark)
    wait_for_sessions_to_end()


def worker_pids() -> list[int]:
    """The processes that count as living, oldest first."""
    return list(Worker.objects.live().order_by("started_at").values_list("pid", flat=True))


def freeze(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def thaw(pids: list[int]) -> None:
    for pid in pids:
        if is_alive(pid):
            os.kill(pid, signal.SIGCONT)


def wait_for_end_of(process: subprocess.Popen[bytes], *, within: float = 20.0) -> int:
    wait_until(lambda: process.poll() is not None, timeout=within, what="the end of the host")
    return int(process.returncode)
