"""The probe port of a process that is no web server: `/livez`, `/readyz` and `/metrics` over plain HTTP."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Readiness = Callable[[], tuple[bool, dict[str, Any]]]


class ProbeServer:
    """Answers in threads of its own, so that a busy process still answers.

    `readiness` returns whether the process is ready and a JSON object that says why; it must be quick.
    Raises OSError where the port is taken.
    """

    def __init__(self, *, host: str, port: int, readiness: Readiness) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(readiness))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="probe", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


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
