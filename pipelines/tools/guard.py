"""The guard against server-side request forgery, on the connection itself.

Note [Guard on the connected address]: checking a URL before handing it to an HTTP client leaves the client to
resolve the name a second time, and a hostile name server answers differently then. So the check is the client's
network backend: it resolves once, judges every address it got, and connects to exactly those addresses. TLS and the
Host header still carry the name. Redirects open connections of their own, so they pass here too.
"""

import asyncio
import socket
from collections.abc import Iterable

import httpcore2
from httpcore2 import AsyncNetworkBackend, AsyncNetworkStream

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools.addresses import AllowList, refusal

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of `host`, in the resolver's order, without repeats. Raises OSError or UnicodeError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(AsyncNetworkBackend):
    """Opens TCP connections to public addresses and to what `allow` opens; see Note [Guard on the connected address].

    One refused address among several refuses the name: an answer that mixes public and private ones is an attack or a
    mistake, and which one would be connected to is chance.
    """

    def __init__(self, allow: AllowList) -> None:
        self._allow = allow
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> AsyncNetworkStream:
        """Connect to the first of the judged addresses that answers. Raises PipelineError or httpcore2's errors."""
        failure: Exception | None = None
        for address in await self._judged(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    async def _judged(self, host: str, port: int) -> list[str]:
        try:
            addresses = await resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise PipelineError(
                "name_not_resolved", ErrorClass.TRANSIENT, f"the name {host} could not be resolved"
            ) from error
        if not self._allow.opens(host, port):
            for address in addresses:
                self._judge(host, port, address)
        return addresses

    def _judge(self, host: str, port: int, address: str) -> None:
        reason = refusal(address)
        if reason is None or self._allow.opens(address, port):
            return
        raise PipelineError(
            "address_refused",
            ErrorClass.PERMANENT,
            f"{host} port {port} is a {reason} address, which tools may not reach. "
            f"An operator opens it by adding {_entry(host, port)} to ORDINAUT_HTTP_ALLOW.",
        )


def _entry(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
