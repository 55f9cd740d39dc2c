"""A small web server of the test's own, on a real socket, whose answers each test scripts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """`answers` maps a path without query to what the server does; `received` keeps every request in order."""

    host: str = "127.0.0.1"
    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)

    def url(self, path: str = "/") -> str:
        return f"http://{self.host}:{self.port}{path}"

    @property
    def target(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> ThreadingHTTPServer:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def _receive(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                web.received.append(Received(self.command, self.path, headers, body))
                # A client that hangs up early is what several tests are about.
                with suppress(ConnectionError):
                    web.answers[self.path.partition("?")[0]](self)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _receive  # noqa: N815 - names that the library calls

            def log_message(self, *_: object) -> None:
                """Say nothing: the test reads `received`."""

        server = ThreadingHTTPServer((self.host, 0), Handler)
        self.port = server.server_address[1]
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server


@contextmanager
def serving(settings: Any) -> Iterator[Web]:
    """A running server on the loopback interface, opened for tools."""
    web = Web()
    server = web.start()
    settings.ORDINAUT_HTTP_ALLOW = [web.target]
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


def reply(status: int = 200, body: bytes = b"", /, **headers: str) -> Answer:
    """An answer with the given status, body and headers (underscores become hyphens)."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"content_length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def json_reply(body: bytes, status: int = 200) -> Answer:
    return reply(status, body, content_type="application/json")
