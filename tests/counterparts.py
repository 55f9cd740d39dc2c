"""Real counterparts for tools: an HTTP server that can be made to block, and an SMTP server that keeps its mail."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiosmtpd.controller import Controller


def free_port() -> int:
    """A port that nobody listens on, for a server that has to be told one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class WebServer:
    """Answers JSON by path, counts requests, and holds those to a blocked path until `release()`."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.requests: Counter[str] = Counter()
        self.blocked: dict[str, threading.Event] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def block(self, path: str) -> None:
        self.blocked[path] = threading.Event()

    def release(self) -> None:
        for gate in self.blocked.values():
            gate.set()

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                server.requests[path] += 1
                if path in server.blocked:
                    server.blocked[path].wait(60)
                answer = server.answers.get(path)
                body = orjson.dumps(answer)
                self.send_response(200 if answer is not None else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    return  # the caller was killed while it waited

            def log_message(self, *_: Any) -> None:
                """Tests look at `requests`."""

        return Handler


@contextmanager
def web_server(answers: dict[str, Any]) -> Iterator[WebServer]:
    server = WebServer(answers)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(5)


class Mailbox:
    """The mail that arrived, in order."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd looks it up by this name)
        message = BytesParser(policy=default).parsebytes(envelope.content)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 kept"


@contextmanager
def smtp_server() -> Iterator[tuple[Mailbox, int]]:
    """A mailbox and the port of its server."""
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield mailbox, controller.port
    finally:
        controller.stop()
