"""MCP servers for tests: processes of `tests/mcp_server.py`, over HTTP until the block ends, or as a command."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.processes import ROOT, end, inherited_env
from tests.waiting import wait_until

PROGRAM = str(ROOT / "tests" / "mcp_server.py")
STDIO = (sys.executable, PROGRAM, "stdio")


@dataclass
class HttpServer:
    """A server over streamable HTTP that can be killed, and started again at the same address."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.target}/mcp"

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        arguments = [sys.executable, PROGRAM, "http", str(self.port)]
        self.process = subprocess.Popen(
            arguments, env=inherited_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_until(self._answers, what="the MCP server")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


@contextmanager
def http_server() -> Iterator[HttpServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = HttpServer(free.getsockname()[1])
    server.start()
    try:
        yield server
    finally:
        assert server.process is not None
        end(server.process)
