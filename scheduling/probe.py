"""The probe port of a process that is no web server: `/livez`, `/readyz` and `/metrics` over plain HTTP.

Whoever can reach the port can open connections and say nothing. So each has a few seconds for its request and the
answer, all in all, and there is a bound on how many are open: one more, and the oldest is closed. A probe takes
milliseconds, so the oldest is never one.
"""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

logger = structlog.get_logger(__name__)

READING_TIME = 5.0  # seconds from the connection to the end of the answer
MOST_CONNECTIONS = 32
_LOOK_EVERY = 0.25  # seconds between looks for connections whose time is over
_CLOSING_TIME = 0.5  # seconds for the thread of a connection that was cut off to let go of it
_PAUSE = 0.05  # seconds after a connection that could not be accepted, because no file descriptor is left

Readiness = Callable[[], tuple[bool, dict[str, Any]]]


class ProbeServer:
    """Answers in threads of its own, so that a busy process still answers.

    `readiness` returns whether the process is ready and a JSON object that says why; it must be quick.
    Raises OSError where the port is taken.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        readiness: Readiness,
        reading_time: float = READING_TIME,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self._server = _BoundedServer((host, port), _handler(readiness), reading_time, most_connections)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_EVERY,), name="probe", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.opened_at)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _BoundedServer(ThreadingHTTPServer):
    """A connection is counted until its thread has closed it: only then is its file descriptor free."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        reading_time: float,
        most_connections: int,
    ) -> None:
        self.opened_at: dict[socket.socket, float] = {}  # in the order of opening
        self._reading_time = reading_time
        self._most_connections = most_connections
        self._closed = threading.Condition()
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(_PAUSE)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._closed:
            if len(self.opened_at) >= self._most_connections:
                _cut_off(next(iter(self.opened_at)))
                has_room = self._closed.wait_for(lambda: len(self.opened_at) < self._most_connections, _CLOSING_TIME)
                if not has_room:
                    super().shutdown_request(request)
                    return
            self.opened_at[request] = time.monotonic()
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        super().close_request(request)
        with self._closed:
            self.opened_at.pop(request, None)
            self._closed.notify_all()

    def service_actions(self) -> None:
        """Called several times a second: cut off those whose time is over, whatever they are doing."""
        before = time.monotonic() - self._reading_time
        with self._closed:
            for request, opened_at in self.opened_at.items():
                if opened_at > before:
                    break
                _cut_off(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """That somebody went away, or was cut off, is not the process's concern."""
        error = sys.exception()
        if not isinstance(error, OSError):
            logger.error("probe.failed", exc_info=error)


def _cut_off(connection: socket.socket) -> None:
    """End its thread's reading and writing at once; the thread closes it."""
    with contextlib.suppress(OSError):  # it may be gone already
        connection.shutdown(socket.SHUT_RDWR)


def _handler(readiness: Readiness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/livez":
                    self._answer(200, "application/json", b'{"status":"ok"}')
                case "/readyz":
                    is_ready, detail = readiness()
                    body = orjson.dumps({"status": "ok" if is_ready else "unavailable", **detail})
                    self._answer(200 if is_ready else 503, "application/json", body)
                case "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
                case _:
                    self._answer(404, "application/json", b'{"status":"not found"}')

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Probes come every few seconds; they are not worth a line."""

    return Handler
