"""Running `manage.py up` from outside, as a person does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.working_tree import ROOT
from tests.process_trees import kill_marked, processes_marked, tie_to_this_process
from tests.waiting import wait_until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def bare_environment(**more: str) -> dict[str, str]:
    """This environment without any address or setting of the tests, so that `up` starts servers of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ORDINAUT_", "PYTEST_", "DJANGO_", "MAKE", "MFLAGS")) and not name.endswith("_URL")
    }
    return {**kept, **more}


@dataclass
class Up:
    """One `up` on a data directory and a port. Every process of it carries `mark` in its environment."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    command: tuple[str, ...] = (sys.executable, "manage.py", "up")
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def start(self, *arguments: str, within: float = 90.0, **environment: str) -> float:
        """Start and wait for the address; returns the seconds that took. Fails with all it said when it ends."""
        started_at = time.monotonic()
        self.output = self.data_dir.with_name(f"{self.data_dir.name}-{self.mark[:8]}.out")
        options = ("--port", str(self.port), "--data-dir", str(self.data_dir), *arguments)
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*self.command, *options]
                if "make" not in self.command
                else [*self.command, f"ARGS={' '.join(options)}"],
                cwd=ROOT,
                env=bare_environment(UP_MARK=self.mark, **environment),
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=tie_to_this_process,
            )

        def has_answered() -> bool:
            assert self.process.poll() is None, self.said()
            return "Ordinaut is up" in self.said()

        try:
            wait_until(has_answered, timeout=within, what="the address of the console")
        except AssertionError as error:
            self.kill_group()
            raise AssertionError(f"{error}\n{self.said()}\n{self.logs()}") from error
        return time.monotonic() - started_at

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def logs(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in (self.data_dir / "logs").glob("*.log"))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the started process alone; returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill_group(self) -> None:
        """End whatever is left, whatever the test did."""
        self.process.kill()
        self.process.wait(10)
        kill_marked(self.mark)

    def left(self) -> list[int]:
        return processes_marked(self.mark)

    def credentials(self) -> dict[str, str]:
        return dict(json.loads((self.data_dir / "credentials.json").read_text()))

    def get(self, path: str) -> Any:
        """An answer of the API to the assistant."""
        credentials = self.credentials()
        request = urllib.request.Request(
            credentials["api_url"] + path, headers={"Authorization": f"Bearer {credentials['token']}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
