"""TCP ports: is one free, and which one to take."""

import errno
import socket

from ordinaut_project.embedded.addresses import in_url
from ordinaut_project.embedded.binaries import EmbeddedError


def require_free(host: str, port: int) -> None:
    """Raises EmbeddedError, in one line that says what to do, when nothing can listen there."""
    try:
        _bind(host, port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise EmbeddedError(
                f"port {port} is already in use: stop what uses it, or choose another by --port"
            ) from None
        if error.errno == errno.EACCES:
            raise EmbeddedError(f"port {port} is not allowed to this user: choose one above 1023 by --port") from None
        raise EmbeddedError(f"cannot listen on {in_url(host)}:{port}: {error.strerror or error}") from None


def choose(host: str, *, preferred: int) -> int:
    """`preferred` where it is free, else any free port."""
    for port in (preferred, 0):
        try:
            listener = _bind(host, port)
        except OSError:
            continue
        with listener:
            return int(listener.getsockname()[1])
    raise EmbeddedError(f"no free port on {host}")


def _bind(host: str, port: int) -> socket.socket:
    # As the server will bind it: without SO_REUSEADDR a port whose last connections still linger counts as in use, and
    # `::` takes no IPv4 port.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener
